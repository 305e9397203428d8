"""Spelling: which known name someone may have meant, for messages about one that isn't known."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["did_you_mean", "near"]


def near(name: str, known: Iterable[str], at_most: int = 1) -> list[str]:
    """The known names that look like `name`, the likeliest first."""
    import difflib  # only wanted on the way to an error

    return difflib.get_close_matches(name, list(known), n=at_most)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for the likeliest, or nothing."""
    found = near(name, known)
    return f" (did you mean {found[0]!r}?)" if found else ""
