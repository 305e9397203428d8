"""The demo: record, ship and find one entry of each of the 54 event types on a real OpenSearch, then prove it.

Run by `make demo`. Everything it makes lies in .demo/ of this checkout; the OpenSearch it starts goes on running, so
that what it suggests at the end can be tried. Exit 0 only if all of it held.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".demo"
WHODID = str(Path(sys.executable).with_name("whodid"))
CONFIG = HOME / "whodid.toml"
DATA = HOME / "opensearch"
TYPES = 54

console = Console(highlight=False)


class Failed(Exception):
    """Something the demo promises did not hold."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--stop", action="store_true", help="stop the OpenSearch at the end")
    stop = options.parse_args().stop
    try:
        demonstrate()
    except Failed as failure:
        console.print(f"\n[bold red]The demo failed:[/] {failure}")
        raise SystemExit(1) from None
    finally:
        if stop:
            run("dev", "down", "--data-dir", str(DATA))
    if not stop:
        say_what_next()


def demonstrate() -> None:
    step("A real OpenSearch, without Docker or Java")
    start_opensearch()
    step("Index template and retention policy")
    show("setup")
    step("A platform records one entry of each event type: structlog and logging, two processes, one journal")
    before = status()["journals"]
    record()
    after = status()
    recorded = sum(journal["last_seq"] for journal in after["journals"])
    new = recorded - sum(journal["last_seq"] for journal in before)
    check(new == TYPES, f"{new} entries were recorded, not {TYPES}")
    console.print(f"{new} entries recorded, {after['backlog']} waiting to be shipped")
    step("Shipping them")
    show("ship", "--once")
    wait_until_searchable(recorded)
    look()
    prove(recorded)


def look() -> None:
    step("The newest entries")
    show("search", "--limit", "12")
    step("How many of which type")
    show("count", "--by", "type")
    step("What did user 42 do?")
    show("search", "--principal", "42", "--limit", "10")
    step("A deleted run: marked as deleted, then dropped")
    show("search", "--target", "2uJ4", "--type", "workflow_deleted", "--type", "workflow_dropped", "--limit", "2")


def prove(recorded: int) -> None:
    step("The retention in force, and where shipping stands")
    show("status")
    step("Was anything changed, removed or inserted?")
    show("verify")
    found = [json.loads(line) for line in run("search", "--json").splitlines()]
    check(len(found) == recorded, f"{recorded} entries were recorded and {len(found)} found")
    check(len({(entry["journal"], entry["seq"]) for entry in found}) == recorded, "an entry is stored twice")
    newest = Counter(entry["type"] for entry in sorted(found, key=lambda entry: entry["seq"])[-TYPES:])
    check(len(newest) == TYPES, f"{len(newest)} event types were found, not {TYPES}")
    deleted = {entry["type"]: entry["target"] for entry in found if entry["type"] in DELETION}
    check(set(deleted) == DELETION and len(set(deleted.values())) == 1, "the deleted run lacks one of its two entries")
    check({entry["organization_id"] for entry in found if "organization_id" in entry} == {"1", "2"}, "organizations")


DELETION = {"workflow_deleted", "workflow_dropped"}


def start_opensearch() -> None:
    answer = run("dev", "up", "--port", "0", "--data-dir", str(DATA), "--json")
    url = json.loads(answer.splitlines()[-1])["url"]
    CONFIG.write_text(
        f'journal_dir = "{HOME / "journal"}"\nopensearch_hosts = ["{url}"]\nindex_prefix = "whodid-demo"\n'
    )
    console.print(f"OpenSearch answers at {url}")


def record() -> None:
    """Both halves at once, in two processes that share the journal."""
    script = str(Path(__file__).with_name("platform_app.py"))
    halves = [subprocess.Popen([sys.executable, script, path], env=environment()) for path in ("structlog", "logging")]
    check([half.wait(120) for half in halves] == [0, 0], "the example platform could not record its entries")


def status() -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(run("status", "--local", "--json"))
    return answer


def wait_until_searchable(expected: int) -> None:
    """OpenSearch shows what it stored at its next refresh: a search asks for it, at most a second later."""
    for _ in range(100):
        if int(run("count", "--json").split(":")[1].strip(" }\n")) >= expected:
            return
    raise Failed(f"{expected} entries were shipped, and OpenSearch does not show them")


def environment() -> dict[str, str]:
    return {**os.environ, "WHODID_CONFIG": str(CONFIG)}


def run(*command: str) -> str:
    """Standard output of a whodid command; what it says on standard error reaches the person directly."""
    done = subprocess.run([WHODID, *command], env=environment(), stdout=subprocess.PIPE, text=True, check=False)
    check(done.returncode == 0, f"`whodid {' '.join(command)}` ended with {done.returncode}")
    return done.stdout


def show(*command: str) -> None:
    console.print(f"[dim]$ whodid {' '.join(command)}[/]")
    done = subprocess.run([WHODID, *command], env=environment(), check=False)
    check(done.returncode == 0, f"`whodid {' '.join(command)}` ended with {done.returncode}")


def step(title: str) -> None:
    console.print(f"\n[bold]{title}[/]")


def check(held: bool, otherwise: str) -> None:
    if not held:
        raise Failed(otherwise)


def say_what_next() -> None:
    console.print("\n[bold green]All of it held.[/] The OpenSearch goes on running; try, in this folder:")
    for line in (
        f"export WHODID_CONFIG={CONFIG.relative_to(ROOT)} PATH=$PWD/.venv/bin:$PATH",
        "whodid search --type 'credentials_*' --since -1d",
        "whodid tail -f",
        "whodid --help",
        f"whodid dev down --data-dir {DATA.relative_to(ROOT)}",
    ):
        console.print(f"  {line}", soft_wrap=True, markup=False)


if __name__ == "__main__":
    HOME.mkdir(exist_ok=True)
    main()
