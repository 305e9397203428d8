"""Adoption: whodid comes into an application that has its logging already, by five changed lines or fewer.

Each application is run as it was and with whodid added. Its ordinary log lines must be the same; what is new is the
line of the audit call, and the entry in the journal.
"""

from __future__ import annotations

import difflib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.recording import recorded

STRUCTLOG = """
import logging, sys
import structlog

logging.basicConfig(format="%(name)s %(levelname)s %(message)s", stream=sys.stdout, level=logging.INFO)
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.filter_by_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.CallsiteParameterAdder([structlog.processors.CallsiteParameter.FUNC_NAME]),
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(sort_keys=True),
    ],
    wrapper_class=structlog.stdlib.BoundLogger,
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)
log = structlog.get_logger("shop").bind(principal="bound", request="r1")


def refund(invoice):
    log.info("refunding %s", invoice, amount=30)
    log.debug("not shown")
    logging.getLogger("shop.db").warning("slow query: %d ms", 300, extra={"target": "x"})
    try:
        1 / 0
    except ZeroDivisionError:
        log.exception("failed", invoice=invoice)


refund("2026-117")
log.info("audit", type="an ordinary line that only sounds like one")
"""

PLAIN_STRUCTLOG = """
import structlog

log = structlog.get_logger()


def refund(invoice):
    log.info("refunding", invoice=invoice)
    structlog.configure(processors=[structlog.processors.KeyValueRenderer(sort_keys=True)])
    structlog.get_logger().bind(a=1).warning("again", invoice=invoice)


structlog.configure(processors=[structlog.processors.JSONRenderer(sort_keys=True)])
refund("2026-117")
"""

DJANGO = """
import logging, sys
import django
from django.conf import settings
from django.http import HttpResponse
from django.test import Client
from django.urls import path

LOGGING = {
    "version": 1,
    "disable_existing_loggers": True,
    "formatters": {"plain": {"format": "{name} {levelname} {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {"shop": {"handlers": ["console"], "level": "INFO", "propagate": False}},
}
settings.configure(
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="x",
    ROOT_URLCONF=__name__,
    LOGGING=LOGGING,
    MIDDLEWARE=[
        "django.middleware.common.CommonMiddleware",
    ],
)
django.setup()
log = logging.getLogger("shop")


def refund(request, invoice):
    log.info("refunding %s", invoice)
    logging.getLogger("shop.db").debug("not shown")
    logging.getLogger("shop.db").warning("slow query: %d ms", 300)
    return HttpResponse("done")


urlpatterns = [path("refund/<invoice>", refund)]
Client().post("/refund/2026-117")
Client().get("/nothing")
"""

CONFIGURE = "import whodid\nwhodid.configure(journal_dir='journal')\n"
AUDIT = '    log.audit("credentials_created", target=invoice, principal="42")\n'

IN_STRUCTLOG = [
    ("import structlog\n", "import structlog\n" + CONFIGURE),
    ("def refund(invoice):\n", f"def refund(invoice):\n{AUDIT}"),
]

APPLICATIONS = {
    "structlog over logging": (STRUCTLOG, IN_STRUCTLOG),
    "structlog alone": (PLAIN_STRUCTLOG, IN_STRUCTLOG),
    "Django": (
        DJANGO,
        [
            ("django.setup()\n", "django.setup()\n" + CONFIGURE),
            ("    MIDDLEWARE=[\n", '    MIDDLEWARE=[\n        "whodid.integrations.django.AuditMiddleware",\n'),
            ("def refund(request, invoice):\n", f"def refund(request, invoice):\n{AUDIT}"),
        ],
    ),
}
"""As it was, and what is replaced by what."""


def _lines(folder: Path, program: str) -> list[str]:
    (folder / "app.py").write_text(program)
    done = subprocess.run([sys.executable, "app.py"], cwd=folder, capture_output=True, text=True, check=True)
    traceback = [line for line in done.stderr.splitlines() if "app.py" not in line]
    return done.stdout.splitlines() + traceback


@pytest.mark.parametrize("name", APPLICATIONS)
def test_five_changed_lines_and_no_ordinary_line_is_another(tmp_path: Path, name: str) -> None:
    before, changes = APPLICATIONS[name]
    after = before
    for old, new in changes:
        assert old in after
        after = after.replace(old, new, 1)
    changed = [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] in "+-"]
    assert len(changed) <= 5
    was = _lines(tmp_path, before)
    now = _lines(tmp_path, after)
    [entry] = recorded(tmp_path / "journal")
    [own] = [line for line in now if "credentials_created" in line]
    assert entry["hash"][:16] in own
    assert [_without_place(line) for line in now if line != own] == [_without_place(line) for line in was]
    assert len(was) >= 2


def _without_place(line: str) -> str:
    """The numbers of lines in a traceback move when lines are added above."""
    return " ".join(
        word for word in line.replace("\\n", " ").split() if not word.rstrip(",").isdigit() or word == "300"
    )
