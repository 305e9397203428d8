"""`whodid dev`: a local OpenSearch for development, without Docker and with its own Java."""

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
    help="Directory of the node's data and log. [default: dev in the user's data directory]",
)


@click.group()
def dev() -> None:
    """Run a local OpenSearch for development.

    Neither Docker nor Java needs to be installed. The node listens on 127.0.0.1 only, and needs no password unless it
    was started with --security.

    \b
    Example:
      whodid dev up
      export WHODID_OPENSEARCH_HOSTS=http://127.0.0.1:9200
    """


@dev.command()
@click.option("--port", type=click.IntRange(0, 65535), default=9200, show_default=True, help="0 chooses a free port.")
@data_dir_option
@click.option("--heap-mb", type=click.IntRange(128), default=512, show_default=True, help="Java heap, in MB.")
@click.option(
    "--timeout",
    type=click.FloatRange(1),
    default=120,
    show_default=True,
    help="Seconds to wait until it is ready.",
)
@click.option("--security", is_flag=True, help="Enable the Security plugin: accounts, roles and TLS.")
@click.option("--opensearch", "version", default="3", hidden=True)  # for the tests of whodid: 2.19, with --java
@click.option(
    "--java", type=click.Path(path_type=Path), help="The `java` executable to use. [default: the one of the extra]"
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

    The first start downloads 57 MB, and 50 MB more with --security. If a node already runs in the data directory, its
    URL is printed. With --security the administrator is `admin`, and the path of the password file is printed.

    \b
    Examples:
      whodid dev up --port 0 --json
      whodid dev up --security --data-dir secured
    """
    from whodid import devserver

    now = devserver.status(data_dir)
    if now.running and security and not now.user:
        raise DevServerError(
            f"the node running in {now.data_dir} was started without --security; choose another --data-dir"
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
        click.echo(_how_to_connect(now), err=True)


@dev.command()
@data_dir_option
@json_option
def down(data_dir: Path | None, as_json: bool) -> None:
    """Stop OpenSearch and keep its data.

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
    """Show whether OpenSearch runs; exit code 1 unless it runs and is healthy.

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
@click.option(
    "-n", "--lines", type=click.IntRange(0), default=50, show_default=True, help="Number of last lines to show."
)
@click.option("--follow", is_flag=True, help="Print new lines until the node stops.")
@data_dir_option
@json_option
def logs(lines: int, follow: bool, data_dir: Path | None, as_json: bool) -> None:
    """Show the log of OpenSearch; with --json as one JSON object per line.

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
        click.echo(f"deleted {folder}" if deleted else f"{folder} did not exist", err=True)


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


def _how_to_connect(now: NodeStatus) -> str:
    variables = {"HOSTS": now.url, "USER": now.user, "PASSWORD_FILE": now.password_file, "CA": now.ca_file}
    given = " ".join(f"WHODID_OPENSEARCH_{name}={value}" for name, value in variables.items())
    return f"accounts and TLS are enabled; to connect as the administrator:\n  export {given}"


def _in_words(now: NodeStatus) -> str:
    if now.running:
        health = "healthy" if now.healthy else "not healthy: see `whodid dev logs`"
        accounts = f"\n{_how_to_connect(now)}" if now.user else ""
        return f"{now.url} OpenSearch {now.version} (PID {now.pid}), {health}{accounts}"
    return "starting" if now.starting else "not running; start it with `whodid dev up`"


@contextmanager
def _progress() -> Iterator[Callable[[Progress], None]]:
    """Report progress on standard error: bars on a terminal, otherwise each new message once."""
    if sys.stderr.isatty():
        with _bars() as on_progress:
            yield on_progress
    else:
        yield _lines()


def _lines() -> Callable[[Progress], None]:
    printed: set[str] = set()

    def on_progress(now: Progress) -> None:
        if now.message not in printed:
            printed.add(now.message)
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
            # The duration of a start is unknown, so its bar has no total.
            total = now.total if now.total and now.stage != "start" else None
            bars.update(tasks[now.message], completed=now.done, total=total)

        yield on_progress
