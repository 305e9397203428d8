"""The demo's platform: records one entry of its half of the 54 event types, through structlog or through logging.

Run by demo.py as two processes at once, which share one journal:

    python platform_app.py structlog
    python platform_app.py logging
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from typing import Any

import structlog

import whodid

ACME = {"organization_id": "1", "organization_name": "Acme", "workspace_id": "11", "workspace_name": "Genomics"}
GLOBEX = {"organization_id": "2", "organization_name": "Globex", "workspace_id": "21", "workspace_name": "Imaging"}
ACME_ITSELF = {"organization_id": "1", "organization_name": "Acme"}
GLOBEX_ITSELF = {"organization_id": "2", "organization_name": "Globex"}
ADA = {"principal": "42", "principal_name": "Ada", "principal_email": "ada@acme.example", "client_ip": "203.0.113.9"}
LIN = {"principal": "43", "principal_name": "Lin", "principal_email": "lin@globex.example", "client_ip": "2001:db8::7"}
SYSTEM = {"principal": "system"}

BUCKET = {"visibility": "private"}
PUBLIC = {"visibility": "public"}
WAVE = {"wave_enabled": True}

Event = tuple[str, str, dict[str, Any], dict[str, Any], dict[str, Any]]


def events() -> Iterator[Event]:
    """Type, target, who, where, and further arguments: the life of two small organizations, in order."""
    yield "organization_created", "1", ADA, ACME_ITSELF, {}
    yield "workspace_created", "11", ADA, ACME, {"target_name": "Genomics"}
    yield "user_created", "42", SYSTEM, {}, {}
    yield "user_sign_in", "42", ADA, {}, {"status": "github"}
    yield "user_updated", "42", ADA, {}, {}
    yield "team_created", "31", ADA, ACME, {"target_name": "Sequencing"}
    yield "participant_created", "51", ADA, ACME, {}
    yield "participant_role_updated", "51", ADA, ACME, {"before": {"role": "view"}, "after": {"role": "maintain"}}
    yield "access_token_created", "61", LIN, {}, {"target_name": "nightly"}
    yield "credentials_created", "6Yk2", ADA, ACME, {"status": "aws"}
    yield "credentials_updated", "6Yk2", ADA, ACME, {}
    yield "credentials_accessed", "6Yk2", ADA, ACME, {"details": {"by": "launch of run 2uJ4"}}
    yield "compute_environment_created", "3fT0", ADA, ACME, {"target_name": "batch-eu"}
    yield "compute_environment_updated", "3fT0", ADA, ACME, {}
    yield "pipeline_secret_created", "71", ADA, ACME, {}
    yield "pipeline_secret_updated", "71", ADA, ACME, {}
    yield "pipeline_created", "81", ADA, ACME, {"target_name": "rnaseq"}
    yield "action_created", "91", ADA, ACME, {}
    yield "data_link_created", "v1-a0", LIN, GLOBEX, {"details": BUCKET}
    yield "data_link_updated", "v1-a0", LIN, GLOBEX, {"details": BUCKET}
    yield "data_link_hide", "v1-p9", LIN, GLOBEX, {"details": PUBLIC}
    yield "data_link_show", "v1-p9", LIN, GLOBEX, {"details": PUBLIC}
    yield "data_link_file_upload", "v1-a0", LIN, GLOBEX, {"details": {**BUCKET, "path": "in/s1.fq.gz"}}
    yield "data_link_file_preview", "v1-a0", LIN, GLOBEX, {"details": {**BUCKET, "path": "in/s1.fq.gz"}}
    yield "data_link_file_download", "v1-p9", LIN, GLOBEX, {"details": {**PUBLIC, "path": "ref/GRCh38.fa"}}
    yield "workflow_launched", "2uJ4", ADA, ACME, {"target_name": "rnaseq: nightly"}
    yield "workflow_created", "2uJ4", SYSTEM, ACME, {}
    yield "workflow_status_changed", "2uJ4", SYSTEM, ACME, {"status": "RUNNING"}
    yield "workflow_completed", "2uJ4", SYSTEM, ACME, {"status": "FAILED", "outcome": "failure"}
    yield "workflow_resumed", "2uJ4", ADA, ACME, {"details": {"run_id": "4kP8"}}
    yield "workflow_relaunched", "2uJ4", ADA, ACME, {"details": {"run_id": "5mQ1"}}
    yield "workflow_deleted", "2uJ4", ADA, ACME, {"correlation_id": "deletion-of-2uJ4"}
    yield "workflow_dropped", "2uJ4", SYSTEM, ACME, {"correlation_id": "deletion-of-2uJ4"}
    yield "studio_session_build_started", "a1b2", LIN, GLOBEX, {"details": WAVE}
    yield "studio_session_build_failed", "a1b2", SYSTEM, GLOBEX, {"details": WAVE}
    yield "studio_session_build_succeeded", "a1b2", SYSTEM, GLOBEX, {"details": WAVE}
    yield "studio_session_created", "a1b2", LIN, GLOBEX, {"target_name": "notebook"}
    yield "studio_session_started", "a1b2", LIN, GLOBEX, {"status": "running"}
    yield "studio_session_connected", "a1b2", LIN, GLOBEX, {}
    yield "studio_session_disconnected", "a1b2", LIN, GLOBEX, {}
    yield "studio_session_stopped", "a1b2", SYSTEM, GLOBEX, {"status": "stopped"}
    yield "studio_session_deleted", "a1b2", LIN, GLOBEX, {}
    yield "action_deleted", "91", ADA, ACME, {}
    yield "pipeline_secret_deleted", "71", ADA, ACME, {}
    yield "pipeline_deleted", "81", ADA, ACME, {}
    yield "compute_environment_deleted", "3fT0", ADA, ACME, {}
    yield "credentials_deleted", "6Yk2", ADA, ACME, {}
    yield "data_link_deleted", "v1-a0", LIN, GLOBEX, {"details": BUCKET}
    yield "access_token_deleted", "61", LIN, {}, {}
    yield "participant_deleted", "51", ADA, ACME, {}
    yield "team_deleted", "31", ADA, ACME, {}
    yield "workspace_deleted", "11", ADA, ACME, {}
    yield "user_deleted", "44", ADA, {}, {"target_name": "Kim"}
    yield "organization_deleted", "2", SYSTEM, GLOBEX_ITSELF, {}


def main(path: str) -> None:
    logging.basicConfig(level=logging.WARNING)
    structlog.configure(
        processors=[whodid.AuditProcessor(), structlog.processors.KeyValueRenderer()],
        wrapper_class=whodid.audited(structlog.make_filtering_bound_logger(logging.WARNING)),
    )
    whodid.configure(service="demo-platform", echo=False)
    logger: Any = structlog.get_logger() if path == "structlog" else logging.getLogger("platform")
    for number, (event_type, target, who, where, more) in enumerate(events()):
        if (path == "structlog") == (number % 2 == 0):
            with whodid.context(**who, **where):
                logger.audit(event_type, target=target, **more)


if __name__ == "__main__":
    main(sys.argv[1])
