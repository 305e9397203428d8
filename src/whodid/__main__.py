"""The program `whodid`; explains how to install the command line if its dependencies are missing."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Runs the command line. Exit codes: 0 success, 1 a problem or a difference was found, 2 wrong usage."""
    try:
        import click  # noqa: F401
        import rich  # noqa: F401
    except ImportError:
        print('The command line needs an extra: pip install "whodid[cli]"', file=sys.stderr)
        raise SystemExit(2) from None
    from .cli import run

    run()


if __name__ == "__main__":
    main()
