"""The witnesses: places outside host and cluster that keep what the log says of itself, for whoever doubts both.

A witness is told once, and can't be made to forget: a directory on storage that is written once (WORM), an S3 bucket
with object lock, or whatever else keeps the protocol below. It needs no right to read, change or delete what it has.
docs/explanation/integrity.md says which to choose.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from ..errors import SettingsError, WitnessError
from ..settings import Settings

__all__ = ["Witness", "WitnessError", "witness_of", "witnesses_of"]


@runtime_checkable
class Witness(Protocol):
    """`name` is how it is called in messages; it holds no secret."""

    @property
    def name(self) -> str: ...

    def put(self, key: str, data: bytes) -> None:
        """Keeps data under a key such as `8f14e45fceea167a/00000012-3fa94c0d11aa77b2.dsse.json`: kept when it returns.

        The same again is fine. Raises `WitnessError`, also where other data is under that key.
        """
        ...

    def each(self) -> Iterator[tuple[str, bytes]]:
        """All that it keeps, as key and data, what somebody hid or wrote over as well. Raises `WitnessError`."""
        ...


def witnesses_of(settings: Settings) -> list[Witness]:
    """Those of the setting `witnesses`. Raises `SettingsError`."""
    return [witness_of(text, settings) for text in settings.witnesses]


_FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def witness_of(text: str, settings: Settings) -> Witness:
    """A directory (`/mnt/worm/whodid`), a bucket (`s3://bucket/prefix`), or a factory (`package.module:name`)."""
    from .directory import DirectoryWitness

    if text.startswith("s3://"):
        from .s3 import S3Witness

        return S3Witness.of(text)
    if text.startswith("/"):
        return DirectoryWitness(text)
    if not _FACTORY.fullmatch(text):
        raise SettingsError(
            f"witnesses: {text!r} is no absolute path, no s3://bucket/prefix and no package.module:factory"
        )
    module, _, name = text.partition(":")
    try:
        made = getattr(importlib.import_module(module), name)(settings)
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"witnesses: {text} can't be imported: {error}") from error
    if not isinstance(made, Witness):
        raise SettingsError(f"witnesses: {text} makes no witness: it lacks name, put or each (`whodid help integrity`)")
    return made
