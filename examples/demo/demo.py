"""The demo: record, ship and find one entry of each of the 54 event types on a real OpenSearch, then prove it.

Run by `make demo`. Everything it makes lies in .demo/ of this checkout; the OpenSearch and the Audit logs tab that it
starts go on running, so that what it suggests at the end can be tried. Exit 0 only if all of it held.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
from rich.console import Console
from tampering import PREFIX, remove, tamper

ROOT = Path(__file__).resolve().parents[2]
WHODID = str(Path(sys.executable).with_name("whodid"))
TYPES = 54
DELETION = {"workflow_deleted", "workflow_dropped"}

console = Console(highlight=False)


class Failed(Exception):
    """Something the demo promises did not hold."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--home", type=Path, default=ROOT / ".demo", help="where to keep everything [default: .demo]")
    options.add_argument("--stop", action="store_true", help="stop OpenSearch and the tab at the end")
    given = options.parse_args()
    home = given.home.resolve()
    home.mkdir(exist_ok=True)
    tab = Tab(home)
    try:
        Demo(home).run()
        step("The Audit logs tab")
        console.print(f"It answers at {tab.start()}")
    except Failed as failure:
        console.print(f"\n[bold red]The demo failed:[/] {failure}")
        raise SystemExit(1) from None
    finally:
        if given.stop:
            tab.stop()
            subprocess.run([WHODID, "dev", "down", "--data-dir", str(home / "opensearch")], check=False)
    console.print("\n[bold green]All of it held.[/]")
    if not given.stop:
        say_what_next(home)
        console.print(f"\n[bold]Look at it in the Audit logs tab: {tab.start()}[/]")


class Demo:
    """One run: everything it makes lies below `home`, and each command of whodid is shown with what it prints."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._config = home / "whodid.toml"

    def run(self) -> None:
        step("A real OpenSearch, without Docker or Java")
        self._start_opensearch()
        step("Index template and retention policy")
        self._show("setup")
        step("A platform records one entry of each event type: structlog and logging, two processes, one journal")
        recorded = self._record()
        step("Shipping them")
        self._show("ship", "--once")
        self._wait_until_searchable(recorded)
        self._look()
        self._prove(recorded)
        self._convict()

    def _start_opensearch(self) -> None:
        data = self._home / "opensearch"
        url = json.loads(self._run("dev", "up", "--port", "0", "--data-dir", str(data), "--json"))["url"]
        journal_dir, key = self._home / "journal", self._home / "signing.pem"
        self._config.write_text(
            f'journal_dir = "{journal_dir}"\nopensearch_hosts = ["{url}"]\nindex_prefix = "whodid-demo"\n'
            f'signing_key_file = "{key}"\n'
        )
        if not key.exists():
            self._run("key", "new", str(key))
        console.print(f"OpenSearch answers at {url}")

    def _record(self) -> int:
        """Both halves at once, in two processes that share the journal; returns how many entries it holds now."""
        before = self._entries_recorded()
        script = str(Path(__file__).with_name("platform_app.py"))
        halves = [
            subprocess.Popen([sys.executable, script, path], env=self._environment())
            for path in ("structlog", "logging")
        ]
        check([half.wait(120) for half in halves] == [0, 0], "the example platform could not record its entries")
        recorded = self._entries_recorded()
        check(recorded - before == TYPES, f"{recorded - before} entries were recorded, not {TYPES}")
        console.print(f"{TYPES} entries recorded, {recorded} since the first run")
        return recorded

    def _entries_recorded(self) -> int:
        status = json.loads(self._run("status", "--local", "--json"))
        return sum(journal["last_seq"] for journal in status["journals"])

    def _wait_until_searchable(self, expected: int) -> None:
        """OpenSearch shows what it stored at its next refresh, within a second."""
        for _ in range(100):
            if json.loads(self._run("stats", "--total", "--json"))["total"] >= expected:
                return
        raise Failed(f"{expected} entries were shipped, and OpenSearch does not show them")

    def _look(self) -> None:
        step("The newest entries")
        self._show("search", "--limit", "12")
        step("How many of which type")
        self._show("stats", "--group-by", "type")
        step("What did user 42 do?")
        self._show("search", "by:42", "--limit", "10")
        step("A deleted run: marked as deleted, then dropped")
        self._show(
            "search", "--target", "2uJ4", "--type", "workflow_deleted", "--type", "workflow_dropped", "--limit", "2"
        )

    def _prove(self, recorded: int) -> None:
        step("The retention in force, and where shipping stands")
        self._show("status")
        step("Was anything changed, removed or inserted?")
        self._show("verify")
        found = [json.loads(line) for line in self._run("search", "--json").splitlines()]
        check(len(found) == recorded, f"{recorded} entries were recorded and {len(found)} found")
        check(len({(entry["journal"], entry["seq"]) for entry in found}) == recorded, "an entry is stored twice")
        newest = {entry["type"] for entry in sorted(found, key=lambda entry: entry["seq"])[-TYPES:]}
        check(len(newest) == TYPES, f"{len(newest)} event types were found, not {TYPES}")
        deleted = {entry["type"]: entry["target"] for entry in found if entry["type"] in DELETION}
        check(set(deleted) == DELETION and len(set(deleted.values())) == 1, "the deleted run lacks one of its entries")
        organizations = {entry["organization_id"] for entry in found if "organization_id" in entry}
        check(organizations == {"1", "2"}, f"entries of {len(organizations)} organizations were found, not of two")

    def _convict(self) -> None:
        step("A tampered copy: one entry changed, and every hash behind it made to fit")
        console.print(tamper(str(self._config)), highlight=False)
        try:
            key = f"{self._home / 'signing.pem'}.pub"
            command = ["verify", "--index-prefix", PREFIX, "--public-key", key]
            console.print(f"[dim]$ whodid {' '.join(command)}[/]", soft_wrap=True)
            done = subprocess.run([WHODID, *command], env=self._environment(), check=False)
            check(done.returncode == 1, f"`whodid verify` ended with {done.returncode} on a log that was tampered with")
            found = subprocess.run(
                [WHODID, *command, "--json"], env=self._environment(), stdout=subprocess.PIPE, text=True, check=False
            )
            kinds = {finding["kind"] for finding in json.loads(found.stdout)["findings"]}
            check(kinds == {"rebuilt"}, f"it was found to be {kinds or 'intact'}, and it was rebuilt")
        finally:
            remove(str(self._config))
        console.print("Convicted: the signed checkpoints say otherwise.")

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "WHODID_CONFIG": str(self._config)}

    def _run(self, *command: str) -> str:
        """Standard output of a whodid command; what it says on standard error reaches the person directly."""
        done = subprocess.run(
            [WHODID, *command], env=self._environment(), stdout=subprocess.PIPE, text=True, check=False
        )
        check(done.returncode == 0, f"`whodid {' '.join(command)}` ended with {done.returncode}")
        return done.stdout

    def _show(self, *command: str) -> None:
        console.print(f"[dim]$ whodid {' '.join(command)}[/]", soft_wrap=True)
        done = subprocess.run([WHODID, *command], env=self._environment(), check=False)
        check(done.returncode == 0, f"`whodid {' '.join(command)}` ended with {done.returncode}")


class Tab:
    """`whodid web` in the background, once a home, which ends by itself after an hour without a look."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._record = home / "tab.json"
        self._output = home / "tab.log"

    def start(self) -> str:
        """Its address."""
        known = self._known()
        if self._process(known):
            return str(known["url"])
        environment = {**os.environ, "WHODID_CONFIG": str(self._home / "whodid.toml")}
        with self._output.open("w") as output:
            process = subprocess.Popen(
                [WHODID, "web", "--port", "0", "--idle-exit", "1h", "--no-audit-reads"],  # so that the counts add up
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        while process.poll() is None:
            words = self._output.read_text().split()
            url = next((word for word in words if word.startswith("http")), "")
            if url:
                created = psutil.Process(process.pid).create_time()
                self._record.write_text(json.dumps({"url": url, "pid": process.pid, "created": created}))
                return url
            time.sleep(0.05)
        raise Failed(f"the tab did not start: {self._output.read_text()}")

    def stop(self) -> None:
        process = self._process(self._known())
        if process:
            process.terminate()
            process.wait(10)

    def _known(self) -> dict[str, object]:
        return dict(json.loads(self._record.read_text())) if self._record.exists() else {}

    def _process(self, known: dict[str, object]) -> psutil.Process | None:
        """The process of an earlier start, if it is still that one."""
        try:
            process = psutil.Process(int(str(known.get("pid", -1))))
            return process if process.is_running() and process.create_time() == known.get("created") else None
        except (psutil.Error, ValueError):
            return None


def step(title: str) -> None:
    console.print(f"\n[bold]{title}[/]")


def check(held: bool, otherwise: str) -> None:
    if not held:
        raise Failed(otherwise)


def say_what_next(home: Path) -> None:
    console.print("The OpenSearch goes on running; try, in this folder:")
    for line in (
        f"export WHODID_CONFIG={home / 'whodid.toml'} PATH={Path(sys.executable).parent}:$PATH",
        "whodid search --type 'credentials_*' --since -1d",
        "whodid search --follow",
        "whodid --help",
        f"whodid dev down --data-dir {home / 'opensearch'}",
    ):
        console.print(f"  {line}", soft_wrap=True, markup=False)


if __name__ == "__main__":
    main()
