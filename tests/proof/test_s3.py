"""A bucket with object lock as a witness, on a server that speaks S3."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.session import Session
from moto.server import ThreadedMotoServer

from whodid.errors import WitnessError
from whodid.proof.witness import Witness, witness_of
from whodid.settings import Settings

KEY = "8f14e45fceea167a/00000001-3fa94c0d11aa77b2.dsse.json"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def client(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return Session().create_client("s3", endpoint_url=endpoint)


@pytest.fixture
def witness(client: Any, endpoint: str, request: pytest.FixtureRequest) -> Witness:
    bucket = f"b{abs(hash(request.node.name))}"
    client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    return witness_of(f"s3://{bucket}/whodid?endpoint={endpoint}&years=2", Settings())


def bucket_of(witness: Witness) -> str:
    return witness.name.split("/")[2]


def test_what_is_kept_is_locked_and_read_back(witness: Witness, client: Any) -> None:
    witness.put(KEY, b"{}")
    witness.put(KEY, b"{}")
    assert list(witness.each()) == [(KEY, b"{}")]
    kept = client.head_object(Bucket=bucket_of(witness), Key=f"whodid/{KEY}")
    assert kept["ObjectLockMode"] == "COMPLIANCE"
    assert 700 < (kept["ObjectLockRetainUntilDate"] - datetime.now(UTC)).days < 732


def test_another_history_under_the_same_name_is_told(witness: Witness) -> None:
    witness.put(KEY, b"{}")
    with pytest.raises(WitnessError, match="already has other data"):
        witness.put(KEY, b'{"other": 1}')


def test_what_somebody_hid_is_read_all_the_same(witness: Witness, client: Any) -> None:
    witness.put(KEY, b"{}")
    client.delete_object(Bucket=bucket_of(witness), Key=f"whodid/{KEY}")
    assert list(witness.each()) == [(KEY, b"{}")]
    client.put_object(Bucket=bucket_of(witness), Key=f"whodid/{KEY}", Body=b'{"other": 1}')
    assert sorted(data for _, data in witness.each()) == [b'{"other": 1}', b"{}"]


def test_a_bucket_without_object_lock_is_refused(client: Any, endpoint: str) -> None:
    client.create_bucket(Bucket="forgetful")
    plain = witness_of(f"s3://forgetful?endpoint={endpoint}", Settings())
    with pytest.raises(WitnessError, match="has no object lock, so objects could be deleted"):
        plain.put(KEY, b"{}")


def test_a_server_that_is_away_is_told_without_credentials(endpoint: str, client: Any) -> None:
    away = witness_of("s3://bucket?endpoint=http://127.0.0.1:9", Settings())
    for use in (lambda: away.put(KEY, b"{}"), lambda: list(away.each())):
        with pytest.raises(WitnessError) as raised:
            use()
        assert "testing" not in str(raised.value)
