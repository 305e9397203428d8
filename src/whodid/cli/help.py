"""`whodid help`: shows the pages of `docs/` on the terminal; the index page is the table of contents."""

from __future__ import annotations

import posixpath
import re
import shutil
from dataclasses import asdict, dataclass
from functools import cache

import click
from click.shell_completion import CompletionItem

from ..resources import resource_text
from ..text import did_you_mean
from .output import print_json

__all__ = ["help", "topics"]

_INDEX = "docs/index.md"
_NO_PAGE_FOR_A_TERMINAL = "api"  # contains only directives of the site generator
_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>[^)\s]+)\)")


@dataclass(frozen=True)
class Topic:
    """A page: its name for `whodid help`, its section of the index (`door`), its title and a summary."""

    topic: str
    door: str
    title: str
    about: str
    path: str


@cache
def topics() -> dict[str, Topic]:
    """Return the pages by name, in the order of the index."""
    found, door = {}, ""
    for line in resource_text(_INDEX).splitlines():
        if line.startswith("## "):
            door = line.removeprefix("## ")
        elif match := re.fullmatch(r"- \[(.+?)\]\((\S+?)\.md\): (.+)", line):
            title, path, about = match.groups()
            name = posixpath.basename(path)
            if name != _NO_PAGE_FOR_A_TERMINAL:
                found[name] = Topic(name, door, title, about, f"docs/{path}.md")
    return found


def _completed(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name, help=page.title) for name, page in topics().items() if name.startswith(incomplete)]


@click.command(
    epilog="""\b
Examples:
  whodid help                  the list of pages
  whodid help tutorial
  whodid help retention
  whodid help --json | jq -r .topic

For the name of a command, the help of that command is shown, unless a page has the same name."""
)
@click.argument("topic", required=False, shell_complete=_completed)
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines: all topics, or one page.")
@click.pass_context
def help(ctx: click.Context, topic: str | None, as_json: bool) -> None:
    """Show the documentation on the terminal."""
    if topic is None:
        _print_topics(as_json)
    elif page := topics().get(topic.lower()):
        text = _for_a_terminal(resource_text(page.path))
        print_json({**_facts(page), "text": text}) if as_json else _print_page(text)
    else:
        click.echo(_help_of_a_command(ctx, topic))


def _print_topics(as_json: bool) -> None:
    if as_json:
        for page in topics().values():
            print_json(_facts(page))
        return
    width = max(map(len, topics()))
    for door in dict.fromkeys(page.door for page in topics().values()):
        click.echo(f"{door}:")
        for page in topics().values():
            if page.door == door:
                click.echo(f"  {page.topic:{width}}  {page.title}: {page.about}")
        click.echo()
    click.echo("Show a page: whodid help TOPIC. Show the options of a command: whodid COMMAND --help")


def _facts(page: Topic) -> dict[str, str]:
    return {name: value for name, value in asdict(page).items() if name != "path"}


def _help_of_a_command(ctx: click.Context, name: str) -> str:
    root = ctx.find_root()
    command = root.command.get_command(root, name) if isinstance(root.command, click.Group) else None
    if command is None:
        meant = did_you_mean(name.lower(), topics())
        raise click.UsageError(f"unknown page {name!r}{meant}; `whodid help` lists the pages", ctx)
    return command.get_help(click.Context(command, info_name=name, parent=root))


def _for_a_terminal(page: str) -> str:
    """Remove comments and pictures from a page, and replace links by the name of their topic."""

    def link(match: re.Match[str]) -> str:
        text, target = match["text"], match["target"]
        if "://" in target:
            return f"{text} <{target}>"
        name = posixpath.basename(target.partition("#")[0]).removesuffix(".md")
        return f"{text} (whodid help {name})" if name in topics() else text

    kept = [line for line in page.splitlines() if not line.startswith(("<!--", "!["))]
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(kept))
    parts = re.split(r"(^```.*?^```$)", text, flags=re.M | re.S)  # every second part is a code block
    return "".join(part if at % 2 else _LINK.sub(link, part) for at, part in enumerate(parts)).strip()


def _print_page(text: str) -> None:
    """Render a page in a pager on a terminal; otherwise print its Markdown."""
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console(width=min(shutil.get_terminal_size().columns, 110))
    if not console.is_terminal:
        click.echo(text)
        return
    with console.pager(styles=True):
        console.print(Markdown(text, code_theme="ansi_dark"))
