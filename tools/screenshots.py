"""Takes the pictures of docs/: tab and report in a real browser, commands and Python as a terminal shows them.

The entries are a month of made-up ones.

    python -m tools.screenshots

Starts an OpenSearch of its own, and needs Chromium (`make browser`).
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import random
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from examples.demo.platform_app import ACME, events
from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.text import Text
from starlette.applications import Starlette
from starlette.routing import Mount
from tests.browser.conftest import FLAGS
from tests.web.served import served

from whodid import devserver
from whodid.cluster.connection import connect
from whodid.proof.keys import new_key
from whodid.recording.recorder import Recorder
from whodid.settings import Settings
from whodid.setup.setup import apply, plan
from whodid.shipping.service import connected_shipper
from whodid.web import create_app

DOCS = Path(__file__).resolve().parents[1] / "docs"
COLUMNS = 108
LOOK = "margin:0;padding:16px 20px;width:fit-content;background:#fff;font:13px/1.4 'DejaVu Sans Mono',monospace"
TERMINAL = {
    "command-line-search": "whodid search type:credentials_* since:-14d --limit 12",
    "command-line-stats": "whodid stats since:-14d --top 5",
}
"""Picture → the command that it shows."""
SESSION = (
    "from whodid import AuditClient",
    "client = AuditClient()",
    "client.count('type:credentials_* since:-14d')",
    "print(*(f\"{e['creation_date']}  {e['type']}\" for e in client.search(about='6Yk2', limit=5)), sep='\\n')",
    "client.stats('since:-14d', group_by=['principal'], top=3).top",
    "client.close()",
)
"""What the picture of the client shows, line by line."""
NAMES = {"6Yk2": "s3-prod-key", "2uJ4": "rnaseq: nightly", "3fT0": "aws-batch-eu", "71": "GITHUB_TOKEN"}


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        devserver.start(port=0, data_dir=Path(folder) / "node", detached=False) as node,
    ):
        journal = str(Path(folder) / "journal")
        key = str(Path(folder) / "signing.pem")
        new_key(key)
        settings = Settings(
            host="web-1",
            service="platform",
            opensearch_hosts=(node.url,),
            journal_dir=journal,
            signing_key_file=key,
            audit_reads=True,
        )
        client = connect(settings)
        apply(plan(client, settings))
        _record(settings)
        connected_shipper(settings).run_once()
        client.indices.refresh(index="whodid-audit-*")
        tab = create_app(
            is_root_user=lambda request: True,
            audit_reads=False,
            settings=settings,
            tabs=[("Users", "#"), ("Settings", "#")],
        )
        with served(Starlette(routes=[Mount("/admin/audit-logs", tab)])) as url:
            _take(f"{url}/admin/audit-logs/", settings)


def _record(settings: Settings) -> None:
    chosen = random.Random(6)  # noqa: S311 (made-up entries)
    recorder = Recorder(settings, clock_ns=_clock(chosen))
    everything = list(events())
    for _ in range(400):
        type_, target, who, where, more = chosen.choice(everything)
        fields = {**who, **where, "target": target, **more}
        if target in NAMES:
            fields.setdefault("target_name", NAMES[target])
        recorder.record(type_, fields)
    for outcome in ("success", "failure"):
        who = {"principal": "42", "principal_name": "Ada", "client_ip": "203.0.113.9", "user_agent": "Firefox/150.0"}
        where = {
            "organization_id": "1",
            "organization_name": "Acme",
            "workspace_id": "11",
            "workspace_name": "Genomics",
        }
        change = {
            "before": {"name": "s3-prod-key", "region": "eu-west-1", "tags": {"team": "genomics"}},
            "after": {"name": "s3-prod-key", "region": "eu-central-1", "tags": {"team": "genomics", "tier": "gold"}},
        }
        what = {"target": "6Yk2", "target_name": "s3-prod-key", "status": "aws", "outcome": outcome}
        recorder.record("credentials_updated", {**who, **ACME, **what, **change, "correlation_id": "deploy-88"})
    recorder.journal.close()


def _clock(chosen: random.Random) -> Callable[[], int]:
    """Moments of the last month, in order."""
    moments = sorted(chosen.uniform(0, 28 * 86_400) for _ in range(402))
    begin = time.time() - 28 * 86_400
    remaining = iter(int((begin + moment) * 1e9) for moment in moments)
    return lambda: next(remaining)


def _take(url: str, settings: Settings) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900}, device_scale_factor=1)
        page.goto(url)
        page.screenshot(path=DOCS / "images" / "tab.png")
        page.goto(f"{url}?about=6Yk2&type=credentials_updated&since=-7d")
        page.locator("#rows a.type").first.click()
        page.screenshot(path=DOCS / "images" / "tab-entry.png", full_page=True)
        page.goto(url)
        page.locator("#q").fill("type:credentials_* -status:aws ")
        page.locator("#q").press_sequentially("princ")
        page.get_by_role("option").first.wait_for()
        page.screenshot(path=DOCS / "images" / "language.png", clip={"x": 0, "y": 0, "width": 1440, "height": 420})
        page.goto(_report(settings).as_uri())
        page.screenshot(path=DOCS / "images" / "report.png", clip={"x": 0, "y": 0, "width": 1440, "height": 760})
        page = browser.new_page(viewport={"width": 960, "height": 400})  # free of the tab's policy for styles
        for name, command in TERMINAL.items():
            page.set_content(_shown(command, settings))
            page.locator("pre").screenshot(path=DOCS / "images" / f"{name}.png")
        page.set_content(_as_html(_session(settings)))
        page.locator("pre").screenshot(path=DOCS / "images" / "client.png")
        browser.close()


def _report(settings: Settings) -> Path:
    """The page of `whodid report` over the last two weeks."""
    name = Path(settings.journal_dir).with_name("report")
    command = ["report", str(name), "--since=-14d"]
    given = [f"--opensearch-hosts={settings.opensearch_hosts[0]}", f"--journal-dir={settings.journal_dir}"]
    given += ["--audit-reads=true", f"--signing-key-file={settings.signing_key_file}"]
    subprocess.run([sys.executable, "-m", "whodid", *command, *given], check=True, stdout=subprocess.DEVNULL)
    return name.with_suffix(".html")


def _session(settings: Settings) -> Text:
    """What Python's own console prints when these lines are typed in."""
    lines = "".join(f"{line}\n" for line in SESSION)
    console = f"import code, sys; console = code.InteractiveConsole(); lines = {lines!r}.splitlines()\n"
    console += "for line in lines:\n    print('>>> ' + line, flush=True)\n    console.push(line)\n"
    environment = {**os.environ, "WHODID_OPENSEARCH_HOSTS": settings.opensearch_hosts[0]}
    done = subprocess.run([sys.executable, "-c", console], env=environment, capture_output=True, text=True, check=True)
    assert not done.stderr, done.stderr  # noqa: S101 (a picture of an error is of no use)
    return Text(done.stdout.rstrip())


def _shown(command: str, settings: Settings) -> str:
    """What a terminal shows of a command and its output, as HTML."""
    words = shlex.split(command)
    given = [f"--opensearch-hosts={settings.opensearch_hosts[0]}", f"--journal-dir={settings.journal_dir}"]
    outside, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 60, COLUMNS, 0, 0))
    program = [sys.executable, "-m", *words[:2], *given, *words[2:]]
    environment = {**os.environ, "TERM": "xterm-256color", "PAGER": "cat"}
    with subprocess.Popen(program, stdout=inside, stderr=inside, stdin=inside, env=environment) as running:
        os.close(inside)
        output = bytearray()
        with suppress(OSError):  # how the other end is closed
            while piece := os.read(outside, 65536):
                output += piece
    assert running.returncode == 0, output  # noqa: S101 (a picture of an error is of no use)
    os.close(outside)
    said = Text.from_ansi(output.decode().replace("\r\n", "\n").rstrip())
    return _as_html(Text(f"$ {command}", style="bold"), said)


def _as_html(*texts: Text) -> str:
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    for text in texts:
        console.print(text)
    code = console.export_html(inline_styles=True, code_format="{code}")
    return f'<body style="margin:0"><pre style="{LOOK}">{code}</pre></body>'


if __name__ == "__main__":
    main()
