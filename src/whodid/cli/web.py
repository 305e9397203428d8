"""`whodid web`: serves the Audit logs tab as a standalone web server."""

from __future__ import annotations

from dataclasses import replace

import click

from ..errors import WhodidError
from ..settings import Settings, journal_place, parse_age

__all__ = ["web"]


@click.command(
    epilog="""\b
Examples:
  whodid web                                    on this machine, at http://127.0.0.1:8417/
  whodid web --host 10.0.0.5 --tls-cert cert.pem --tls-key key.pem --url https://audit.example:8417/
  whodid web --url https://admin.example/audit/ behind a proxy on this machine that terminates TLS

Users sign in with their OpenSearch account, and its roles decide what they see; user and password of the settings are
not used. To include the tab in your own admin panel, mount whodid.web.create_app (`whodid help tab`)."""
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8417, show_default=True, help="0 chooses a free port.")
@click.option("--url", metavar="URL", help="Public address, if it differs.")
@click.option("--tls-cert", metavar="FILE", help="Certificate and chain (PEM), to serve https://.")
@click.option("--tls-key", metavar="FILE", help="Private key (PEM), if not in the same file.")
@click.option("--idle-exit", metavar="AGE", help="Exit after this time without a request, such as 30m.")
@click.option("--audit-reads/--no-audit-reads", default=True, show_default=True, help="Record who reads what.")
@click.pass_obj
def web(
    settings: Settings,
    host: str,
    port: int,
    url: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    idle_exit: str | None,
    audit_reads: bool,
) -> None:
    """Serve the Audit logs tab."""
    try:
        from ..web.server import Address, serve
    except ImportError as error:
        raise WhodidError(f"the tab needs {error.name}, which is not installed: pip install 'whodid[web]'") from error
    idle = parse_age(idle_exit) if idle_exit else None
    settings = replace(settings, audit_reads=audit_reads)
    if audit_reads:
        click.echo(
            f"reads are recorded in {journal_place(settings.journal_dir)}; `whodid ship` stores the entries", err=True
        )
    serve(settings, Address(host, port, url, tls_cert, tls_key), idle=idle, on_ready=_print_url)


def _print_url(url: str) -> None:
    click.echo(f"Audit logs: {url}  (stop with Ctrl-C)")
