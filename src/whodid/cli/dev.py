"""`whodid dev`: a real OpenSearch for development, without Docker or Java.

Data goes to standard output, all else to standard error. Exit codes: 0 done, 1 found a problem, 2 wrong
usage.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import DevServerError
from .options import json_option

if TYPE_CHECKING:
    from whodid.devserver import NodeStatus, Progress

__all__ = ["dev"]

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the node's data and log. [default: dev in the user's data folder]",
)


@click.group()
def dev() -> None:
    """Run a real OpenSearch on this machine, for development.

    No Docker and no Java are needed. It listens on 127.0.0.1 only, and asks nobody for a password unless it was
    started with --security.

    \b
    Example:
      whodid dev up
      export WHODID_OPENSEARCH_HOSTS=http://127.0.0.1:9200
    """


@dev.command()
@click.option("--port", type=click.IntRange(0, 65535), default=9200, show_default=True, help="0 picks a free one.")
@data_dir_option
@click.option("--heap-mb", type=click.IntRange(128), default=512, show_default=True, help="Java heap, in MB.")
@click.option(
    "--timeout",
    type=click.FloatRange(1),
    default=120,
    show_default=True,
    help="Seconds until it must be ready.",
)
@click.option("--security", is_flag=True, help="With the Security plugin: accounts, roles and TLS.")
@click.option(
    "--opensearch", "version", default="3", show_default=True, help="Which OpenSearch: 3, or 2.19 with --java."
)
@click.option(
    "--java", type=click.Path(path_type=Path), help="The program `java` to run it with. [default: the extra's]"
)
@json_option
def up(
    port: int,
    data_dir: Path | None,
    heap_mb: int,
    timeout: float,
    security: bool,
    version: str,
    java: Path | None,
    as_json: bool,
) -> None:
    """Start OpenSearch in the background and wait until it is ready.

    The first start downloads 57 MB, with --security 50 MB more. When a node already runs on the data directory, its URL
    is printed. A secured node's administrator is `admin`; the password is in a file that is named.

    \b
    Examples:
      whodid dev up --port 0 --json
      whodid dev up --security --data-dir secured
      whodid dev up --opensearch 2.19 --java /usr/lib/jvm/java-21/bin/java --data-dir older
    """
    from whodid import devserver

    now = devserver.status(data_dir)
    if now.running and security and not now.user:
        raise DevServerError(
            f"the node that runs on {now.data_dir} has no accounts; give another folder with --data-dir"
        )
    if now.running:
        click.echo("already running", err=True)
    else:
        with _progress() as on_progress:
            devserver.start(
                port=port,
                data_dir=data_dir,
                heap_mb=heap_mb,
                detached=True,
                security=security,
                on_progress=on_progress,
                timeout=timeout,
                version=version,
                java=java,
            )
        now = devserver.status(data_dir)
    click.echo(json.dumps(_as_json(now)) if as_json else now.url)
    if now.user and not as_json:
        click.echo(_how_to_enter(now), err=True)


@dev.command()
@data_dir_option
@json_option
def down(data_dir: Path | None, as_json: bool) -> None:
    """Stop OpenSearch; its data stay.

    \b
    Example:
      whodid dev down
    """
    from whodid import devserver

    stopped = devserver.stop(data_dir)
    if as_json:
        click.echo(json.dumps({"stopped": stopped}))
    else:
        click.echo("stopped" if stopped else "was not running", err=True)


@dev.command()
@data_dir_option
@json_option
def status(data_dir: Path | None, as_json: bool) -> None:
    """Say whether OpenSearch runs; exit code 1 if it doesn't, or isn't healthy.

    \b
    Example:
      whodid dev status --json
    """
    from whodid import devserver

    now = devserver.status(data_dir)
    if as_json:
        click.echo(json.dumps(_as_json(now)))
    else:
        click.echo(_in_words(now))
    if not now.healthy:
        raise click.exceptions.Exit(1)


@dev.command()
@click.option("-n", "--lines", type=click.IntRange(0), default=50, show_default=True, help="How many last lines.")
@click.option("--follow", is_flag=True, help="Go on with each new line, until the node ends.")
@data_dir_option
@json_option
def logs(lines: int, follow: bool, data_dir: Path | None, as_json: bool) -> None:
    """Show OpenSearch's log; with --json one JSON object a line.

    \b
    Example:
      whodid dev logs -n 20 --follow
    """
    from whodid import devserver

    for line in devserver.logs(data_dir, lines=lines, follow=follow):
        click.echo(json.dumps({"line": line}) if as_json else line)


@dev.command()
@click.option("--yes", is_flag=True, help="Don't ask.")
@data_dir_option
@json_option
def reset(yes: bool, data_dir: Path | None, as_json: bool) -> None:
    """Stop OpenSearch and delete all its data.

    \b
    Example:
      whodid dev reset --yes
    """
    from whodid import devserver

    folder = devserver.status(data_dir).data_dir
    if not yes:
        click.confirm(f"Delete {folder} with all its indices?", abort=True, err=True)
    deleted = devserver.reset(data_dir)
    if as_json:
        click.echo(json.dumps({"deleted": deleted, "data_dir": str(folder)}))
    else:
        click.echo(f"deleted {folder}" if deleted else f"{folder} was not there", err=True)


def _as_json(now: NodeStatus) -> dict[str, str | int | bool | None]:
    return {
        "running": now.running,
        "starting": now.starting,
        "healthy": now.healthy,
        "url": now.url,
        "port": now.port,
        "pid": now.pid,
        "version": now.version,
        "data_dir": str(now.data_dir),
        "log_file": str(now.log_file),
        "user": now.user,
        "password_file": str(now.password_file) if now.password_file else None,
        "ca_file": str(now.ca_file) if now.ca_file else None,
    }


def _how_to_enter(now: NodeStatus) -> str:
    variables = {"HOSTS": now.url, "USER": now.user, "PASSWORD_FILE": now.password_file, "CA": now.ca_file}
    given = " ".join(f"WHODID_OPENSEARCH_{name}={value}" for name, value in variables.items())
    return f"accounts and TLS are on; to use it as its administrator:\n  export {given}"


def _in_words(now: NodeStatus) -> str:
    if now.running:
        health = "healthy" if now.healthy else "not healthy: see `whodid dev logs`"
        accounts = f"\n{_how_to_enter(now)}" if now.user else ""
        return f"{now.url} OpenSearch {now.version} (PID {now.pid}), {health}{accounts}"
    return "starting" if now.starting else "not running; start it with `whodid dev up`"


@contextmanager
def _progress() -> Iterator[Callable[[Progress], None]]:
    """Bars on a terminal, else a line whenever the stage or its message changes; always on standard error."""
    if sys.stderr.isatty():
        with _bars() as on_progress:
            yield on_progress
    else:
        yield _lines()


def _lines() -> Callable[[Progress], None]:
    told: set[str] = set()

    def on_progress(now: Progress) -> None:
        if now.message not in told:
            told.add(now.message)
            click.echo(now.message, err=True)

    return on_progress


@contextmanager
def _bars() -> Iterator[Callable[[Progress], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def on_progress(now: Progress) -> None:
            if now.message not in tasks:
                tasks[now.message] = bars.add_task(now.message)
            # How long a start takes is not known, so its bar only moves to and fro.
            total = now.total if now.total and now.stage != "start" else None
            bars.update(tasks[now.message], completed=now.done, total=total)

        yield on_progress
