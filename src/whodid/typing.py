"""The keywords that whodid's functions take, for type checkers and editors. Made by `make generated`; don't edit.

For a function of one's own that passes its keywords on:

    def record(event_type: str, **fields: Unpack[whodid.typing.CallFields]) -> None:
        log.audit(event_type, **fields)

whodid itself imports this module for type checkers alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

__all__ = [
    "CallFields",
    "Changes",
    "EntryFields",
    "ExpectedFields",
    "FilterFields",
    "Moment",
    "OperationFields",
    "SearchKeywords",
    "SettingsKeywords",
    "SystemFields",
    "Target",
]

Moment: TypeAlias = datetime | str | None
"""An aware datetime, or text: ISO 8601, a period such as `2026-11`, or a span back from now such as `-24h`."""

_Text: TypeAlias = str | Sequence[str] | AbstractSet[str] | None
_Number: TypeAlias = int | str | Sequence[int | str] | AbstractSet[int | str] | None
_Value: TypeAlias = str | float | Sequence[str | float] | AbstractSet[str | float] | None


class Target(TypedDict):
    """One of the further targets of an entry."""

    id: str
    """ID of the resource."""
    type: NotRequired[str]
    """Its kind, such as `credentials`."""
    name: NotRequired[str]
    """Its name at that moment."""


class Changes(TypedDict, total=False):
    """What `whodid.changes` returns, for the keywords of a call."""

    before: dict[str, Any]
    """State image before the change."""
    after: dict[str, Any]
    """State image after the change."""


class SettingsKeywords(TypedDict, total=False):
    """Keywords of `whodid.configure`, `AuditClient` and others: the settings. `None` counts as not given."""

    journal_dir: str | Path | None
    """The directory of the journal, shared by all processes of the host that record into it. Use a real disk, not
    tmpfs. The default is $XDG_STATE_HOME/whodid/journal, or ~/.local/state/whodid/journal. A user without a home
    directory (a container with an arbitrary UID) has no default and must set it."""
    service: str | None
    """Name of the application, in each entry."""
    host: str | None
    """Name of the machine or pod, in each entry. The default is the host name."""
    catalog: str | Path | None
    """An events.toml with your own event types; empty for the platform's 54 types."""
    durability: Literal["disk", "process"] | None
    """How durable an entry is when the call returns: "disk" survives a power loss; "process" survives kill -9, and
    a power loss about a second later. A type in the catalog may override it."""
    on_failure: Literal["raise", "warn"] | None
    """When an entry can't be recorded: "raise" stops the action that can't be audited; "warn" lets it continue and
    counts the failure."""
    on_invalid: Literal["raise", "quarantine"] | None
    """When a call breaks a rule of the catalog: "raise", or "quarantine" to keep it in rejected.ndjson with secrets
    masked."""
    record: Mapping[str, Literal["full", "metadata", "off"]] | None
    """How much is recorded of event types, such as {"credentials_*" = "metadata", workflow_created = "off"}: "full"
    (the default), "metadata" (without before, after and details) or "off" (nothing). The event types of whodid
    itself can't be listed. A change is recorded. As text: "credentials_*=metadata,workflow_created=off"."""
    echo: bool | None
    """Write one line to the ordinary log for each entry: type, target and entry ID, never personal fields."""
    hash_key: str | None
    """The key of the hashes that replace secrets in before, after and details, so that equal secrets have equal
    hashes: at least 32 characters, the same on all hosts (`openssl rand -hex 32`). Without a key, "[hidden]"
    replaces secrets. Prefer `hash_key_file`."""
    hash_key_file: str | Path | None
    """A file (mode 0600) that holds the hash key. Set this or `hash_key`, not both."""
    trusted_proxies: str | list[str] | tuple[str, ...] | None
    """Networks of the proxies that are trusted to name the client, such as ["10.0.0.0/8"]. The default trusts none.
    "unix" trusts all connections through the server's Unix socket; use it only if the server listens on nothing
    else."""
    forwarded_header: Literal["x-forwarded-for", "forwarded"] | None
    """The header in which trusted proxies name the client; "forwarded" is RFC 7239. The other header is never read,
    because a proxy may pass on what a client puts there."""
    lock_timeout: float | None
    """Seconds to wait for another process that writes to the journal before the call fails."""
    segment_bytes: int | None
    """Size in bytes at which a segment of the journal is closed."""
    segment_age: float | None
    """Age in seconds at which a segment of the journal is closed."""
    keep_days: float | None
    """Days to keep a segment after all of its entries were shipped."""
    max_bytes: int | None
    """Maximum size of the journal in bytes; 0 for no limit. When it is reached, recording fails as on_failure says.
    Rejected calls (on_invalid = "quarantine") count too: they take at most an eighth of it, and at most 16 MiB."""
    opensearch_hosts: str | list[str] | tuple[str, ...] | None
    """URLs of the cluster's nodes. Nodes on other machines must use https://."""
    opensearch_user: str | None
    """The user to sign in as, with a password."""
    opensearch_password: str | None
    """The password of `opensearch_user`. Prefer `opensearch_password_file`."""
    opensearch_password_file: str | Path | None
    """A file (mode 0600) that holds the password. Set this or `opensearch_password`, not both."""
    opensearch_token: str | None
    """A bearer token, such as a JWT, instead of user and password. Prefer `opensearch_token_file`."""
    opensearch_token_file: str | Path | None
    """A file (mode 0600) that holds the token; it is read again when the cluster refuses it. Set this or
    `opensearch_token`, not both."""
    opensearch_aws_region: str | None
    """Sign requests (SigV4) for this AWS region with the credentials that botocore finds, instead of a user or
    token. Needs the extra "aws"."""
    opensearch_aws_service: Literal["es", "aoss"] | None
    """The AWS service for signed requests: "es" is OpenSearch Service, "aoss" is OpenSearch Serverless."""
    opensearch_ca: str | Path | None
    """A PEM file with the certificate authority to trust, if the system does not trust it."""
    opensearch_client_cert: str | Path | None
    """A client certificate: a PEM file."""
    opensearch_client_key: str | Path | None
    """The key of the client certificate: a PEM file."""
    opensearch_timeout: float | None
    """Seconds to wait for a response of the cluster."""
    signing_key: str | None
    """The private key (Ed25519, PEM) that signs checkpoints and the manifests of exports; `whodid key new FILE`
    creates one. Without a key nothing is signed. Prefer `signing_key_file` or `signing_command`; set at most one of
    the three."""
    signing_key_file: str | Path | None
    """A file (mode 0600) that holds the signing key."""
    signing_command: str | None
    """A command that signs its standard input, for a key that stays in a KMS or HSM."""
    signing_public_key: str | Path | None
    """A file that holds the public key of `signing_command`."""
    witnesses: str | list[str] | tuple[str, ...] | None
    """Where copies of checkpoints are kept outside the cluster and this host, so that an administrator of both
    can't forge them: directories (absolute paths on WORM storage), "s3://bucket/prefix?region=…" with object lock,
    or "package.module:factory". See `whodid help integrity`."""
    index_prefix: str | None
    """The prefix of index names, such as <index_prefix>-2026.11."""
    partition: Literal["month", "week", "day"] | None
    """The length of a partition: entries are deleted by whole partitions. A change applies to new entries only."""
    retention: str | None
    """Each entry is kept at least this long, and at most one partition and two days longer. "off" keeps
    everything."""
    snapshot_repository: str | None
    """A snapshot repository of the cluster; a partition is saved there before retention deletes it. Empty for
    none."""
    policy_priority: int | None
    """Priority of the ISM policy's template. If several policies match a new partition, ISM applies the one with
    the highest priority. It refuses two policies of the same priority whose patterns overlap."""
    number_of_shards: int | None
    """Primary shards of a partition."""
    audit_reads: bool | None
    """Record who searches, views and exports entries, in the audit log itself, through journal_dir. The tab always
    records it, unless it is created with audit_reads=False."""
    ship: bool | None
    """Ship from a background thread of the application (development, small applications) instead of `whodid
    ship`."""
    bulk_bytes: int | None
    """Maximum size of a bulk request in bytes."""
    bulk_entries: int | None
    """Maximum number of entries in a bulk request."""
    bulks_in_flight: int | None
    """Maximum number of concurrent bulk requests; the shipper holds about bulk_bytes in memory for each."""
    ship_rate: int | None
    """Maximum number of entries shipped per second; 0 for no limit."""
    drain_timeout: float | None
    """Seconds for which `whodid ship`, once stopped, still ships entries that are in the journal."""
    checkpoint_interval: float | None
    """Seconds between checkpoints. `whodid ship` writes a checkpoint, a signed record of how far each journal had
    come, even if nothing was shipped since the last one (`whodid help integrity`)."""
    metrics_address: str | None
    """HOST:PORT on which `whodid ship` serves /metrics (Prometheus), /healthz and /readyz; empty to disable. Needs
    the extra "metrics". These pages show counts, never entries."""
    poll_interval: float | None
    """Seconds to wait before reading the journal again when there was nothing to ship."""


class _Fields(TypedDict, total=False):
    """What every call may fill."""

    target: str | None
    """ID of the resource the event is about."""
    status: str | None
    """More about the event, such as the sign-in method."""
    organization_id: str | None
    """ID of the organization it happened in."""
    organization_name: str | None
    """Name of the organization at that moment."""
    workspace_id: str | None
    """ID of the workspace it happened in."""
    workspace_name: str | None
    """Name of the workspace at that moment."""
    client_ip: str | None
    """Address of the user or client; absent for the system."""
    occurred_at: datetime | str | None
    """When it happened, if recorded later: YYYY-MM-DDTHH:MM:SSZ."""
    imported_from: str | None
    """The older log that the entry was imported from."""
    target_name: str | None
    """Name of the target at that moment."""
    targets: Sequence[Target] | None
    """Further targets: a list of objects with `id`, `type` and `name`."""
    principal_name: str | None
    """Name of the user at that moment."""
    principal_email: str | None
    """E-mail address of the user at that moment."""
    on_behalf_of: str | list[str] | tuple[str, ...] | None
    """ID of the user who was impersonated or who asked for it; or a list, the nearest first."""
    principal_type: Literal["user", "service", "api_key", "agent", "system", "anonymous"] | None
    """What the principal is: `user`, `service`, `api_key`, `agent` (a program that decides), `system` or
    `anonymous`."""
    session_id: str | None
    """ID (never the secret) of the session it happened in."""
    auth_method: str | None
    """How the principal was authenticated, such as `password` or `oidc`."""
    roles: str | list[str] | tuple[str, ...] | None
    """The principal's roles at that moment: a list, or one."""
    user_agent: str | None
    """The client's own description."""
    forwarded_for: str | None
    """Addresses that proxies passed on, unchecked; the peer last."""
    access_token_id: str | None
    """ID (never the value) of the access token used."""
    correlation_id: str | None
    """Shared by all entries of one cascade."""
    request_id: str | None
    """ID of the HTTP request or task."""
    method: str | None
    """Method of the HTTP request."""
    route: str | None
    """Pattern of the HTTP request's path, such as `/teams/{id}`."""
    trace_id: str | None
    """W3C trace ID."""
    before: Mapping[str, object] | None
    """State image before the change."""
    after: Mapping[str, object] | None
    """State image after the change."""
    details: Mapping[str, object] | None
    """Anything else worth keeping; free and bounded."""


class _Who(TypedDict, total=False):
    """Who acts."""

    principal: str | None
    """ID of the user who did it; `system` or `anonymous`."""


class _Pair(TypedDict, total=False):
    """What `auditing` fills itself."""

    operation: str | None
    """Joins the two entries of an intent/outcome pair."""
    phase: Literal["intent", "outcome"] | None
    """`intent` or `outcome`, for pairs."""
    outcome: Literal["success", "failure", "unknown"] | None
    """`success`, `failure` or `unknown`."""


class EntryFields(_Fields, _Who, _Pair, total=False):
    """Keywords of `context` and `bind`, and of `audit` without `once`."""


class OperationFields(_Fields, _Who, total=False):
    """Keywords of `auditing`: `EntryFields` without a pair's."""


class SystemFields(_Fields, _Pair, total=False):
    """Keywords of `system`: `EntryFields` without a principal."""


class CallFields(EntryFields, total=False):
    """Keywords of `audit`: `EntryFields`, and a key."""

    once: str | None
    """A key of this very event: a call that repeats it within a day records nothing."""


class ExpectedFields(TypedDict, total=False):
    """Keywords of `assert_recorded`: any field of an entry whose name can be a keyword, with the value it has."""

    type: object
    """The event type, as the catalog names it."""
    target: object
    """ID of the resource the event is about."""
    principal: object
    """ID of the user who did it; `system` or `anonymous`."""
    status: object
    """More about the event, such as the sign-in method."""
    organization_id: object
    """ID of the organization it happened in."""
    organization_name: object
    """Name of the organization at that moment."""
    workspace_id: object
    """ID of the workspace it happened in."""
    workspace_name: object
    """Name of the workspace at that moment."""
    client_ip: object
    """Address of the user or client; absent for the system."""
    creation_date: object
    """When, UTC, whole seconds: YYYY-MM-DDTHH:MM:SSZ."""
    occurred_at: object
    """When it happened, if recorded later: YYYY-MM-DDTHH:MM:SSZ."""
    imported_from: object
    """The older log that the entry was imported from."""
    target_type: object
    """The resource of the catalog, such as `credentials`."""
    target_name: object
    """Name of the target at that moment."""
    targets: object
    """Further targets: a list of objects with `id`, `type` and `name`."""
    principal_name: object
    """Name of the user at that moment."""
    principal_email: object
    """E-mail address of the user at that moment."""
    on_behalf_of: object
    """ID of the user who was impersonated or who asked for it; or a list, the nearest first."""
    principal_type: object
    """What the principal is: `user`, `service`, `api_key`, `agent` (a program that decides), `system` or
    `anonymous`."""
    session_id: object
    """ID (never the secret) of the session it happened in."""
    auth_method: object
    """How the principal was authenticated, such as `password` or `oidc`."""
    roles: object
    """The principal's roles at that moment: a list, or one."""
    user_agent: object
    """The client's own description."""
    forwarded_for: object
    """Addresses that proxies passed on, unchecked; the peer last."""
    access_token_id: object
    """ID (never the value) of the access token used."""
    correlation_id: object
    """Shared by all entries of one cascade."""
    request_id: object
    """ID of the HTTP request or task."""
    method: object
    """Method of the HTTP request."""
    route: object
    """Pattern of the HTTP request's path, such as `/teams/{id}`."""
    trace_id: object
    """W3C trace ID."""
    operation: object
    """Joins the two entries of an intent/outcome pair."""
    phase: object
    """`intent` or `outcome`, for pairs."""
    outcome: object
    """`success`, `failure` or `unknown`."""
    once: object
    """Hash (32 hex digits) of the type and the key of a call with `once`."""
    before: object
    """State image before the change."""
    after: object
    """State image after the change."""
    details: object
    """Anything else worth keeping; free and bounded."""
    shortened: object
    """Which fields were cut, with original bytes and SHA-256."""
    service: object
    """The application that recorded it."""
    host: object
    """The machine or pod it ran on."""
    schema_version: object
    """Format of this entry."""
    journal: object
    """Random ID of the journal."""
    seq: object
    """Position in the journal: 1, 2, 3 … without a gap."""
    prev: object
    """Hash of the entry before; 64 zeros for the first."""
    hash: object
    """SHA-256 of this entry's canonical bytes."""
    committed: object
    """Names of the personal fields, which are hashed by commitments."""
    salt: object
    """Salt (32 hex digits) that opens the commitments, until one is erased."""
    salts: object
    """Salt (32 hex digits) of each personal field that an erasure left."""
    erased: object
    """Commitment of each personal field that was erased."""


class FilterFields(TypedDict, total=False):
    """Keywords of a filter: fields, each a value or several of which any may match, and times. `None` is no filter."""

    by: _Text
    """What a principal did, or others did on their behalf."""
    about: _Text
    """What happened to a target, also among others."""
    type: _Text
    """The event type, as the catalog names it."""
    target: _Text
    """ID of the resource the event is about."""
    principal: _Text
    """ID of the user who did it; `system` or `anonymous`."""
    status: _Text
    """More about the event, such as the sign-in method."""
    organization_id: _Text
    """ID of the organization it happened in."""
    organization_name: _Text
    """Name of the organization at that moment."""
    workspace_id: _Text
    """ID of the workspace it happened in."""
    workspace_name: _Text
    """Name of the workspace at that moment."""
    client_ip: _Text
    """Address of the user or client; absent for the system."""
    imported_from: _Text
    """The older log that the entry was imported from."""
    target_type: _Text
    """The resource of the catalog, such as `credentials`."""
    target_name: _Text
    """Name of the target at that moment."""
    principal_name: _Text
    """Name of the user at that moment."""
    principal_email: _Text
    """E-mail address of the user at that moment."""
    on_behalf_of: _Text
    """ID of the user who was impersonated or who asked for it; or a list, the nearest first."""
    principal_type: _Text
    """What the principal is: `user`, `service`, `api_key`, `agent` (a program that decides), `system` or
    `anonymous`."""
    session_id: _Text
    """ID (never the secret) of the session it happened in."""
    auth_method: _Text
    """How the principal was authenticated, such as `password` or `oidc`."""
    roles: _Text
    """The principal's roles at that moment: a list, or one."""
    user_agent: _Text
    """The client's own description."""
    forwarded_for: _Text
    """Addresses that proxies passed on, unchecked; the peer last."""
    access_token_id: _Text
    """ID (never the value) of the access token used."""
    correlation_id: _Text
    """Shared by all entries of one cascade."""
    request_id: _Text
    """ID of the HTTP request or task."""
    method: _Text
    """Method of the HTTP request."""
    route: _Text
    """Pattern of the HTTP request's path, such as `/teams/{id}`."""
    trace_id: _Text
    """W3C trace ID."""
    operation: _Text
    """Joins the two entries of an intent/outcome pair."""
    phase: _Text
    """`intent` or `outcome`, for pairs."""
    outcome: _Text
    """`success`, `failure` or `unknown`."""
    service: _Text
    """The application that recorded it."""
    host: _Text
    """The machine or pod it ran on."""
    schema_version: _Text
    """Format of this entry."""
    journal: _Text
    """Random ID of the journal."""
    seq: _Number
    """Position in the journal: 1, 2, 3 … without a gap."""
    prev: _Text
    """Hash of the entry before; 64 zeros for the first."""
    hash: _Text
    """SHA-256 of this entry's canonical bytes."""
    before: _Value
    """State image before the change."""
    after: _Value
    """State image after the change."""
    details: _Value
    """Anything else worth keeping; free and bounded."""
    shortened: _Value
    """Which fields were cut, with original bytes and SHA-256."""
    since: Moment
    """From that moment on; the beginning of a period."""
    until: Moment
    """Before that moment; the beginning of a period."""
    time: str | None
    """Within a period, or from one up to another: `2026-01..2026-03`."""
    occurred_at: str | None
    """As `time`, for when it happened, of entries that were recorded later."""


class SearchKeywords(FilterFields, total=False):
    """Keywords of `AuditClient.search` and others that find or count entries."""

    expired: bool
    """Include entries whose retention is over."""
