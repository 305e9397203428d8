"""The runtime: which recorder this process uses, and how it is set up."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from .recorder import Recorder
from .settings import Settings, load_settings

__all__ = ["configure", "recorder"]

_lock = threading.Lock()
if hasattr(os, "register_at_fork"):  # a forked child never finds it held by a thread that it doesn't have
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
_recorder: Recorder | None = None


def configure(path: str | Path | None = None, *, settings: Settings | None = None, **keywords: Any) -> Settings:
    """Sets up recording for this process and gives every logger its `audit` method; returns the settings in force.

    Settings come from `keywords`, `WHODID_…` variables, the TOML file at `path` (or `WHODID_CONFIG`) and the defaults,
    in that order, or ready-made as `settings`. An application that has not configured structlog gets a default with
    `audit`; an existing configuration is left alone (see `whodid.audited`).

    Raises `SettingsError` and `CatalogError`.
    """
    global _recorder
    chosen = settings or load_settings(path, **keywords)
    made = Recorder(chosen)
    with _lock:
        before, _recorder = _recorder, made
    if before is not None:
        before.journal.close()
    _equip_loggers()
    if chosen.ship:
        from .shipper.service import ship_in_background

        ship_in_background(chosen)
    return chosen


def recorder() -> Recorder:
    """The recorder in force; without a `configure()` before, one from the environment and the defaults."""
    if _recorder is None:
        configure()
    if _recorder is None:
        raise RuntimeError("configure() left no recorder")
    return _recorder


def _equip_loggers() -> None:
    from .integrations import stdlib, structlog

    stdlib.install()
    structlog.install()
