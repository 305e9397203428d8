"""Witnesses: storage outside host and cluster that keeps a copy of each checkpoint.

A witness stores each checkpoint once, and can't be made to lose it: a directory on write-once storage (WORM), an S3
bucket with object lock, or anything else that implements the protocol below. whodid needs no right to read, change or
delete there. docs/explanation/integrity.md says which to choose.

`witnessed.json` in the journal directory holds the delivery state: the last checkpoint of each journal that each
witness has, and since when deliveries fail. It only avoids repetition; if it is lost, checkpoints are delivered again,
which changes nothing.

A directory witness has one file per checkpoint, and never overwrites or deletes. Crash behaviour: data is written under
another name, synced, and linked to its own name, so a file is complete or missing; what a crash left over is written
again. If the mount hangs, the caller waits.

An S3 witness works with any storage that speaks S3 and has object lock. Credentials are found by botocore: environment,
profile, role. A locked object can still be hidden by a newer version or a delete marker, so all versions are read.
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
from ..files import dump, files_below, new_directory, read_file, sync_directory, write_file, write_new
from ..settings import Settings, check_url
from ..text import FOREIGN, json_of, text_of

__all__ = [
    "Delivered",
    "Deliveries",
    "DirectoryWitness",
    "S3Witness",
    "Witness",
    "WitnessError",
    "witness_of",
    "witnesses_of",
]


@runtime_checkable
class Witness(Protocol):
    """A place that stores checkpoints. `name` appears in messages and contains no secret."""

    @property
    def name(self) -> str: ...

    def put(self, key: str, data: bytes) -> None:
        """Stores data under a key such as `8f14e45fceea167a/00000012-3fa94c0d11aa77b2.dsse.json`.

        Returns once it is durable; storing the same data again is fine. Raises `WitnessError`, also if the key has
        other data.
        """
        ...

    def each(self) -> Iterator[tuple[str, bytes]]:
        """Yields everything stored, as key and data, hidden and replaced versions included. Raises `WitnessError`."""
        ...


def witnesses_of(settings: Settings) -> list[Witness]:
    """Returns the witnesses of the setting `witnesses`. Raises `SettingsError`."""
    return [witness_of(text, settings) for text in settings.witnesses]


_FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def witness_of(text: str, settings: Settings) -> Witness:
    """Returns one witness: a directory (`/mnt/worm/whodid`), `s3://bucket/prefix`, or `package.module:factory`."""
    if text.startswith("s3://"):
        return S3Witness.of(text)
    if text.startswith("/"):
        return DirectoryWitness(text)
    if not _FACTORY.fullmatch(text):
        raise SettingsError(
            f"witnesses: {text!r} is not an absolute path, s3://bucket/prefix or package.module:factory"
        )
    module, _, name = text.partition(":")
    try:
        made = getattr(importlib.import_module(module), name)(settings)
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"witnesses: {text} can't be imported: {error}") from error
    if not isinstance(made, Witness):
        raise SettingsError(
            f"witnesses: {text} returns no witness: it lacks name, put or each (`whodid help integrity`)"
        )
    return made


_NAME = "witnessed.json"
_OTHER_DATA = "already has other data: somebody changed it, or two journals have the same ID"


@dataclass(frozen=True, slots=True)
class Delivered:
    """The deliveries to one witness: the last number delivered by journal; `failing` is since when they fail."""

    delivered: Mapping[str, int] = field(default_factory=dict)
    failing: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Deliveries:
    """The delivery state of all witnesses of one journal directory, by their names."""

    directory: Path

    def read(self) -> dict[str, Delivered]:
        """Reads the state; a lost or damaged file counts as nothing delivered."""
        try:
            content = json_of(read_file(self.directory / _NAME))
            return {text_of(name): _delivered(one) for name, one in content.items()}
        except (OSError, JournalDamaged, *FOREIGN):
            return {}

    def note(self, name: str, delivered: Delivered) -> None:
        """Saves the state of one witness. Raises `OSError`. Only the active shipper calls it, from one thread."""
        known = {**self.read(), name: delivered}
        content = {
            one: {"told": dict(about.delivered), "failing": about.failing, "error": about.error}
            for one, about in known.items()
        }
        write_file(self.directory / _NAME, dump(content))

    def problems(self) -> Iterator[str]:
        """Describes failing deliveries, for `status`."""
        for name, about in sorted(self.read().items()):
            if about.failing:
                yield f"checkpoints could not be delivered to {name} since {about.failing}: {about.error}"


def _delivered(content: Mapping[str, Any]) -> Delivered:
    numbers = {text_of(journal): int(number) for journal, number in content["told"].items()}
    return Delivered(numbers, text_of(content["failing"]), text_of(content["error"]))


class DirectoryWitness:
    """Stores files in the directory at `path`, which must exist, so that a missing mount is noticed."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    @property
    def name(self) -> str:
        return str(self._path)

    def put(self, key: str, data: bytes) -> None:
        try:
            self._put(self._path / key, data)
        except OSError as error:
            raise WitnessError(f"the witness {self._path} can't store {key}: {error.strerror or error}") from error

    def _put(self, path: Path, data: bytes) -> None:
        if not self._path.is_dir():
            raise WitnessError(f"the witness {self._path} is not a directory: mount or create it")
        if not path.parent.is_dir():
            with suppress(FileExistsError):
                new_directory(path.parent, 0o750)
            sync_directory(self._path)
        if not os.path.lexists(path):
            with suppress(FileExistsError):
                write_new(path, data, 0o440)
        if not stat.S_ISREG(path.lstat().st_mode):
            raise WitnessError(f"{path} is not a regular file; find out who created it")
        if read_file(path) != data:
            raise WitnessError(f"{path} {_OTHER_DATA}")

    def each(self) -> Iterator[tuple[str, bytes]]:
        if not self._path.is_dir():
            raise WitnessError(f"the witness {self._path} is not a directory: mount it, or name another")
        try:
            for path in files_below(self._path, ".json"):
                if path.is_file() and not path.is_symlink():
                    yield str(path.relative_to(self._path)), read_file(path)
        except OSError as error:
            raise WitnessError(f"the witness {self._path} can't be read: {error}") from error


_YEARS, _MOST_YEARS = 10, 1000
_OPTIONS = {"endpoint", "region", "years"}


class S3Witness:
    """A bucket with object lock. `client` is botocore's; `years` is how long objects stay locked."""

    def __init__(self, client: Any, bucket: str, prefix: str = "", years: float = _YEARS) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._years = years

    @classmethod
    def of(cls, url: str) -> S3Witness:
        """Reads `s3://bucket/prefix?region=eu-central-1&endpoint=https://minio.example:9000&years=10`.

        Raises `SettingsError`.
        """
        parts = urlsplit(url)
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if not parts.hostname or "@" in parts.netloc or not options.keys() <= _OPTIONS:
            raise SettingsError(
                "witnesses: write a bucket as s3://bucket/prefix, with ?region=, endpoint= and years= if needed, and "
                "without credentials"
            )
        try:
            years = float(options.get("years", _YEARS))
        except ValueError:
            years = 0.0
        if not 0 < years <= _MOST_YEARS:
            most = f"a number above 0 and at most {_MOST_YEARS:,}"
            raise SettingsError(f"witnesses: years must be {most}, not {options['years']!r}")
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
            raise WitnessError(f"{self.name}{key} {_OTHER_DATA}")
        message = error.response["Error"].get("Message", "")
        if code == "ObjectLockConfigurationNotFoundError" or "missingobjectlock" in message.replace(" ", "").lower():
            raise WitnessError(
                f"the bucket of {self.name} has no object lock, so objects could be deleted: create one that has it "
                f"({message or code})"
            )
        raise WitnessError(f"the witness {self.name} refused {key}: {code} {message}")

    def _is(self, key: str, data: bytes) -> bool:
        """Whether the bucket has that data under the key; assumed if this user may not read."""
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
