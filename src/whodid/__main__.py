"""The program `whodid`: also where it is explained that the command line is an extra."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Runs the command line; ends the process with 0 done, 1 found a problem or a difference, 2 usage."""
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
