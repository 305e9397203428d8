"""An S3 bucket with object lock as a witness: what is kept can't be changed or deleted before its time, by anybody.

Any storage that speaks S3 and has object lock will do. Credentials are found as botocore always does: environment,
profile, role. What is locked can still be hidden, by a newer version or a delete marker: all versions are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ..errors import SettingsError, WitnessError
from ..settings import check_url

__all__ = ["S3Witness"]

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
