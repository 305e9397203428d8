"""The recorder of this process, and its configuration.

Modules for recording are imported when it is configured, so that `import whodid` stays fast. This module does not
depend on loggers: `whodid.integrations` registers the function that gives them their `audit` method.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import JournalLocked
from ..journal.lock import Hold, ThreadLock
from ..process import warnings_afterwards

if TYPE_CHECKING:
    from typing import Unpack

    from ..catalog import Catalog
    from ..settings import Settings
    from ..typing import SettingsKeywords
    from .recorder import Recorder

__all__ = ["configure", "recorder", "recorders_from", "when_set_up"]

Make = Callable[["Settings", "Catalog | None"], "Recorder"]
"""Creates a recorder from settings, and from a catalog if it is loaded already."""


def _make_recorder(settings: Settings, catalog: Catalog | None) -> Recorder:
    from .own import record_levels
    from .recorder import Recorder

    made = Recorder(settings, catalog=catalog)
    record_levels(settings)
    return made


_locks: dict[int, ThreadLock] = {}
"""By process ID, what `configure` holds: a fork that Python does not see leaves the lock of another thread behind."""
_forking: list[tuple[ThreadLock, Hold]] = []


def _lock() -> ThreadLock:
    return _locks.setdefault(os.getpid(), ThreadLock())


def _before_fork() -> None:
    """A fork waits for other threads that configure, so that no child gets a partly imported module."""
    lock = _lock()
    hold = Hold(lock)
    with suppress(JournalLocked, ValueError):  # this very thread configures, and forks; or no Python code forks
        hold.frame = sys._getframe(1)  # what forks, which runs until after the fork
        hold.take()
    _forking.append((lock, hold))


def _after_fork() -> None:
    for _, hold in _forked():
        hold.give_back()


def _forked() -> list[tuple[ThreadLock, Hold]]:
    """What `_before_fork` added; nothing where a server written in C runs only the handlers after a fork."""
    return [_forking.pop()] if _forking else []


def _after_fork_in_child() -> None:
    for lock, hold in _forked():
        _locks[os.getpid()] = lock
        hold.give_back()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)
_make: Make = _make_recorder
_recorder: Recorder | None = None
_when_set_up: list[Callable[[], None]] = []
_ensure_shipping: Callable[[], None] | None = None
"""Set by the first `configure(ship=True)`: starts the background shipper of this process, also in a forked child."""


def when_set_up(do: Callable[[], None]) -> None:
    """Registers a function to call after each configuration, in the order of registration."""
    _when_set_up.append(do)


def configure(
    path: str | Path | None = None, *, settings: Settings | None = None, **keywords: Unpack[SettingsKeywords]
) -> Settings:
    """Configures recording for this process and gives every logger its `audit` method.

    Keywords take precedence over `WHODID_…` variables, variables over the file, and the file over the defaults. The
    configuration of structlog and logging is not changed.

    Args:
        path: A TOML file of settings, such as config/whodid.toml; the default is the variable `WHODID_CONFIG`.
        settings: Complete settings, instead of all other sources.
        **keywords: Settings by name; see `whodid.typing.SettingsKeywords`.

    Returns:
        The settings in force.

    Raises:
        SettingsError: A setting is unknown, malformed or contradicts another, or the file can't be read.
        CatalogError: The events.toml that `catalog` names can't be used.
        NotRecorded: A change of the setting `record` can't be recorded, and `on_failure` is `raise`.
        JournalLocked: A signal handler called it in the middle of another call to it.

    Example:
        >>> whodid.configure(journal_dir="/var/lib/app/audit", service="shop", catalog="events.toml")
    """
    global _recorder
    with warnings_afterwards(), Hold(_lock()):
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
    """Starts, restarts or stops the background shipper of this process."""
    global _ensure_shipping
    if settings.ship or _ensure_shipping is not None:
        from ..shipping.background import ensure_shipping, ship_in_background

        _ensure_shipping = ensure_shipping
        ship_in_background(settings if settings.ship else None)


def recorder() -> Recorder:
    """The current recorder; calls `configure()` if that was not done before."""
    if _recorder is None:
        configure()
    if _recorder is None:
        raise RuntimeError("configure() left no recorder")
    if _ensure_shipping is not None:
        _ensure_shipping()
    return _recorder


@contextmanager
def recorders_from(make: Make) -> Iterator[None]:
    """Uses `make` to create every recorder of this process inside the block; restores the previous recorder afterwards.

    This applies to the current recorder, which is created again with its settings and catalog, and to `configure()`
    inside the block.
    """
    global _make, _recorder
    with Hold(_lock()):
        before = _make, _recorder
        in_force = make(_recorder.settings, _recorder.catalog) if _recorder is not None else None
        _make, _recorder = make, in_force
    try:
        yield
    finally:
        with Hold(_lock()):
            _make, _recorder = before
