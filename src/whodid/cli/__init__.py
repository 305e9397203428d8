"""The command line: one module per noun, and commands that only call the library.

Data goes to stdout, everything else to stderr. Exit codes: 0 done, 1 found a problem or a difference, 2 usage.
"""

from __future__ import annotations

from .program import program, run

__all__ = ["program", "run"]
