"""The runtime: which recorder this process uses, and how it is set up.

What recording needs is imported when it is set up, so that `import whodid` stays light. The runtime knows no logger:
`whodid.integrations` hands it what gives them their `audit` method.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Unpack

    from ..catalog import Catalog
    from ..settings import Settings
    from ..typing import SettingsKeywords
    from .recorder import Recorder

__all__ = ["configure", "recorder", "recorders_from", "when_set_up"]

Make = Callable[["Settings", "Catalog | None"], "Recorder"]
"""What makes a recorder of these settings; the catalog is given where it has been loaded already."""


def _make_recorder(settings: Settings, catalog: Catalog | None) -> Recorder:
    from .recorder import Recorder

    return Recorder(settings, catalog=catalog)


_lock = threading.Lock()
if hasattr(os, "register_at_fork"):  # a forked child never finds it held by a thread that it doesn't have
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
_make: Make = _make_recorder
_recorder: Recorder | None = None
_when_set_up: list[Callable[[], None]] = []
_ensure_shipping: Callable[[], None] | None = None
"""Known since the first `configure(ship=True)`: has this process ship, a forked child too."""


def when_set_up(do: Callable[[], None]) -> None:
    """Has `do` called each time that recording was set up, in the order given."""
    _when_set_up.append(do)


def configure(
    path: str | Path | None = None, *, settings: Settings | None = None, **keywords: Unpack[SettingsKeywords]
) -> Settings:
    """Sets up recording for this process and gives every logger its `audit` method.

    A setting comes from the first that has it: keyword, `WHODID_…` variable, file, default. Configurations of structlog
    and logging are left as they are.

    Args:
        path: A TOML file of settings, as config/whodid.toml is one; else the variable `WHODID_CONFIG` names one.
        settings: Settings made already, in place of all others.
        **keywords: Settings by name; see `whodid.typing.SettingsKeywords`.

    Returns:
        The settings in force.

    Raises:
        SettingsError: A setting is unknown, malformed or contradicts another, or the file can't be read.
        CatalogError: The events.toml that `catalog` names can't be used.

    Example:
        >>> whodid.configure(journal_dir="/var/lib/app/audit", service="shop", catalog="events.toml")
    """
    global _recorder
    with _lock:  # a fork waits for it, so that no child finds a module half imported
        from ..settings import load_settings

        chosen = settings or load_settings(path, **keywords)
        made = _make(chosen, None)
        if made.settings.ship:
            from ..shipping.background import preload

            preload(made.settings)
        before, _recorder = _recorder, made
    if before is not None:
        before.journal.close()
    for do in _when_set_up:
        do()
    _ship(made.settings)
    return made.settings


def _ship(settings: Settings) -> None:
    """Has this process ship by these settings, and no longer by those before."""
    global _ensure_shipping
    if settings.ship or _ensure_shipping is not None:
        from ..shipping.background import ensure_shipping, ship_in_background

        _ensure_shipping = ensure_shipping
        ship_in_background(settings if settings.ship else None)


def recorder() -> Recorder:
    """The recorder in force; without a `configure()` before, one from the environment and the defaults."""
    if _recorder is None:
        configure()
    if _recorder is None:
        raise RuntimeError("configure() left no recorder")
    if _ensure_shipping is not None:
        _ensure_shipping()
    return _recorder


@contextmanager
def recorders_from(make: Make) -> Iterator[None]:
    """For the block every recorder of this process is one that `make` made; afterwards the one before is back.

    That holds for the recorder in force, which is made anew with the same settings and catalog, and for what
    `configure()` sets up within the block.
    """
    global _make, _recorder
    with _lock:
        before = _make, _recorder
        in_force = make(_recorder.settings, _recorder.catalog) if _recorder is not None else None
        _make, _recorder = make, in_force
    try:
        yield
    finally:
        with _lock:
            _make, _recorder = before
