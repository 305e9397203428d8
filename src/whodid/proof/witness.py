"""The witnesses: places outside host and cluster that keep what the log says of itself, for whoever doubts both.

A witness is told once, and can't be made to forget: a directory on storage that is written once (WORM), an S3 bucket
with object lock, or whatever else keeps the protocol below. It needs no right to read, change or delete what it has.
docs/explanation/integrity.md says which to choose.

The deliveries: how far each witness has been told of each journal, and since when one can't be told.

`witnessed.json` in the journal directory, replaced whole. It only saves repetition: what was told already is told again
where it is lost, and changes nothing.

A directory as a witness: a file for each thing that is kept, on storage where nothing can be written twice.

Whoever mounts it decides what that means: a WORM volume, an export of another team's host, a disk of its own. The
witness itself never overwrites or deletes.

Crash behaviour: data is written under another name, synced, and linked to its own, so a file is whole or not there;
what a kill left over is written anew. A mount that hangs keeps its caller waiting, for as long as it hangs.

An S3 bucket with object lock as a witness: what is kept can't be changed or deleted before its time, by anybody.

Any storage that speaks S3 and has object lock will do. Credentials are found as botocore always does: environment,
profile, role. What is locked can still be hidden, by a newer version or a delete marker: all versions are read.
"""

from __future__ import annotations

import importlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from urllib.parse import parse_qs, urlsplit

from ..errors import JournalDamaged, SettingsError, WitnessError
from ..files import dump, read_file, sync_directory, write_file, write_new
from ..settings import Settings, check_url
from ..text import FOREIGN, json_of, text_of

__all__ = [
    "Deliveries",
    "DirectoryWitness",
    "S3Witness",
    "Told",
    "Witness",
    "WitnessError",
    "witness_of",
    "witnesses_of",
]


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

    if text.startswith("s3://"):
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


_NAME = "witnessed.json"


@dataclass(frozen=True, slots=True)
class Told:
    """Of one witness: the last number it was told, by journal. `failing` is since when it fails, or empty."""

    told: Mapping[str, int] = field(default_factory=dict)
    failing: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Deliveries:
    """What is known of all witnesses of one journal directory, by their names."""

    directory: Path

    def read(self) -> dict[str, Told]:
        """A lost or damaged file counts as nothing told."""
        try:
            content = json_of(read_file(self.directory / _NAME))
            return {text_of(name): _told(one) for name, one in content.items()}
        except (OSError, JournalDamaged, *FOREIGN):
            return {}

    def note(self, name: str, told: Told) -> None:
        """Raises `OSError`. Whoever notes is the one active shipper, in one thread at a time."""
        known = {**self.read(), name: told}
        content = {
            one: {"told": dict(about.told), "failing": about.failing, "error": about.error}
            for one, about in known.items()
        }
        write_file(self.directory / _NAME, dump(content))

    def problems(self) -> Iterator[str]:
        """In words, for `status`."""
        for name, about in sorted(self.read().items()):
            if about.failing:
                yield f"{name} has not been told of checkpoints since {about.failing}: {about.error}"


def _told(content: Mapping[str, Any]) -> Told:
    told = {text_of(journal): int(number) for journal, number in content["told"].items()}
    return Told(told, text_of(content["failing"]), text_of(content["error"]))


class DirectoryWitness:
    """Keeps things in the directory at `path`, which must be there: a mount that is away must not be taken for one."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    @property
    def name(self) -> str:
        return str(self._path)

    def put(self, key: str, data: bytes) -> None:
        try:
            self._put(self._path / key, data)
        except OSError as error:
            raise WitnessError(f"the witness {self._path} can't keep {key}: {error.strerror or error}") from error

    def _put(self, path: Path, data: bytes) -> None:
        if not self._path.is_dir():
            raise WitnessError(f"the witness {self._path} is no directory: mount it, or make it")
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o750, exist_ok=True)
            sync_directory(self._path)
        if os.path.lexists(path):
            return self._compare(path, data)
        with suppress(FileExistsError):
            write_new(path, data, 0o440)
        return self._compare(path, data)

    def _compare(self, path: Path, data: bytes) -> None:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise WitnessError(f"{path} is no plain file; find out who put it there")
        if read_file(path) != data:
            raise WitnessError(
                f"{path} holds something else than what is to be kept there: somebody changed it, or two histories "
                "have the same name"
            )

    def each(self) -> Iterator[tuple[str, bytes]]:
        if not self._path.is_dir():
            raise WitnessError(f"the witness {self._path} is no directory: mount it, or name another")
        try:
            for path in sorted(self._path.rglob("*.json")):
                if path.is_file() and not path.is_symlink():
                    yield str(path.relative_to(self._path)), read_file(path)
        except OSError as error:
            raise WitnessError(f"the witness {self._path} can't be read: {error}") from error


_YEARS = 10
_OPTIONS = {"endpoint", "region", "years"}


class S3Witness:
    """A bucket. `client` is botocore's; `years` is how long what is kept is locked."""

    def __init__(self, client: Any, bucket: str, prefix: str = "", years: float = _YEARS) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._years = years

    @classmethod
    def of(cls, url: str) -> S3Witness:
        """`s3://bucket/prefix?region=eu-central-1&endpoint=https://minio.example:9000&years=10`; `SettingsError`."""
        parts = urlsplit(url)
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if not parts.hostname or "@" in parts.netloc or not options.keys() <= _OPTIONS:
            raise SettingsError(
                "witnesses: a bucket is written s3://bucket/prefix, with ?region=, endpoint= and years= where needed; "
                "credentials never stand in it"
            )
        try:
            years = float(options.get("years", _YEARS))
        except ValueError:
            years = 0.0
        if years <= 0:
            raise SettingsError(f"witnesses: years must be a number above 0, not {options['years']!r}")
        if "endpoint" in options:
            check_url("witnesses", options["endpoint"], "s3://bucket/prefix?endpoint=https://minio.example:9000")
        return cls(_client(options), parts.hostname, parts.path, years)

    @property
    def name(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}"

    def put(self, key: str, data: bytes) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=365.25 * self._years)
        try:
            self._client.put_object(
                Bucket=self._bucket,
                Key=self._prefix + key,
                Body=data,
                ChecksumAlgorithm="SHA256",
                ContentType="application/json",
                IfNoneMatch="*",
                ObjectLockMode="COMPLIANCE",
                ObjectLockRetainUntilDate=until,
            )
        except ClientError as error:
            self._refused(error, key, data)
        except BotoCoreError as error:
            raise WitnessError(f"the witness {self.name} can't be reached: {error}") from error

    def _refused(self, error: Any, key: str, data: bytes) -> None:
        code, status = error.response["Error"].get("Code", ""), error.response["ResponseMetadata"].get("HTTPStatusCode")
        if code == "PreconditionFailed" or status == 412:
            if self._is(key, data):
                return
            raise WitnessError(
                f"{self.name}{key} holds something else than what is to be kept there: somebody changed it, or two "
                "histories have the same name"
            )
        message = error.response["Error"].get("Message", "")
        if code == "ObjectLockConfigurationNotFoundError" or "missingobjectlock" in message.replace(" ", "").lower():
            raise WitnessError(
                f"the bucket of {self.name} has no object lock, so it could be made to forget: make one with it "
                f"({message or code})"
            )
        raise WitnessError(f"the witness {self.name} refuses {key}: {code} {message}")

    def _is(self, key: str, data: bytes) -> bool:
        """Whether that is kept; taken for granted by who may not read."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            found = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)["Body"].read()
        except (BotoCoreError, ClientError):
            return True
        return bool(found == data)

    def each(self) -> Iterator[tuple[str, bytes]]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            pages = self._client.get_paginator("list_object_versions").paginate(
                Bucket=self._bucket, Prefix=self._prefix
            )
            for page in pages:
                for version in page.get("Versions", ()):
                    found = self._client.get_object(
                        Bucket=self._bucket, Key=version["Key"], VersionId=version["VersionId"]
                    )
                    yield version["Key"].removeprefix(self._prefix), found["Body"].read()
        except (BotoCoreError, ClientError) as error:
            raise WitnessError(f"the witness {self.name} can't be read: {error}") from error


def _client(options: dict[str, str]) -> Any:
    try:
        from botocore.config import Config
        from botocore.session import Session
    except ImportError:
        raise SettingsError('a witness in S3 needs an extra: pip install "whodid[aws]"') from None
    from botocore.exceptions import BotoCoreError

    config = Config(connect_timeout=10, read_timeout=30, retries={"max_attempts": 2})
    try:
        return Session().create_client(
            "s3", region_name=options.get("region"), endpoint_url=options.get("endpoint"), config=config
        )
    except (BotoCoreError, ValueError) as error:
        raise SettingsError(f"witnesses: {error}") from error
