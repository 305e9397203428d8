"""Masking: what is secret and what only sounds so, equal hashes, and that no secret is found anywhere afterwards."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import time
import warnings
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

import whodid
from tests.recording import WHO, configured, recorded
from whodid.recording.masking import HIDDEN, Mask, masked

KEY = "0123456789abcdef0123456789abcdef"
HASH = "hmac-sha256:"

SECRET_NAMES = """password PASSWORD userPassword new-password passwd pwd passphrase pin otp secret client_secret secrets
token accessToken access_token X-Auth-Token id_token refreshToken tokens api_key apiKey API-Key X-Api-Key apikey
private_key privateKey ssh_key signing_key encryptionKey shared_key account_key authorization Authorization Cookie
Set-Cookie credential credentials session_id sessionId csrf_token jwt bearer password_hash
db_pass smtpPass PASS pass-word pass_phrase userpassword dbpassword mypassword adminpasswd refreshtoken clientsecret
dbpasswords stripeapikey""".split()  # noqa: SIM905

PLAIN_NAMES = """name author authentication_method auth_method key key_name primary_key foreign_key keyboard token_id
access_token_id credentials_id token_type token_expires_at password_changed_at password_policy secret_name passed
compass session sessions session_name signature_count public_key key_id visibility pinned spinner monkey tokenizer
tokens_used api_key_id pass_rate passes bypass secretary userpassword_changed_at boarding_pass season_pass by_pass
p_in""".split()  # noqa: SIM905


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_value_under_a_secret_s_name_is_hidden(name: str) -> None:
    assert Mask().object({name: "hunter2", "in": [{name: {"a": "hunter2"}}]}) == {name: HIDDEN, "in": [{name: HIDDEN}]}


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_a_name_that_only_sounds_so_is_left_alone(name: str) -> None:
    assert Mask().object({name: "visible"}) == {name: "visible"}


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE",
        "see -----BEGIN PRIVATE KEY-----",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2ln",
        "AKIAIOSFODNN7EXAMPLE",
        "export T=ghp_0123456789abcdefghij",
        "postgres://app:hunter2@db.example/shop",
        "redis://:hunter2@cache.example",
    ],
)
def test_a_text_that_has_a_secret_s_form_is_hidden_whatever_its_name(text: str) -> None:
    assert Mask().object({"note": text, "list": [text]}) == {"note": HIDDEN, "list": [HIDDEN]}
    assert masked({"note": [text]}) == {"note": ["[masked]"]}


@pytest.mark.parametrize("text", ["eyJ-", "eyJAAAAAAAA.eyJ-", "://a:", "-----BEGIN ", "AKIA", "ghp_"])
def test_the_time_of_the_search_grows_with_the_text_and_not_with_its_square(text: str) -> None:
    begin = time.process_time()
    Mask().object({"note": text * (200_000 // len(text))})
    assert time.process_time() - begin < 2


@pytest.mark.parametrize(
    "text", ["https://example.org:8080/a@b", "eyJ is a prefix", "the key is on the table", "a:b@c", "mailto:ada@b.org"]
)
def test_other_texts_are_left_alone(text: str) -> None:
    assert Mask().object({"note": text}) == {"note": text}


def test_booleans_nulls_and_counts_say_nothing_secret() -> None:
    harmless = {"password": None, "secret": True, "tokens": 512, "pass": 41, "tests_pass": 3, "maxtoken": 99}
    assert Mask(KEY).object(harmless) == harmless
    assert Mask().object({"pin": 1234, "token": 1234}) == {"pin": HIDDEN, "token": HIDDEN}


def test_the_hash_is_hmac_sha256_of_the_canonical_value() -> None:
    expected = hmac.new(KEY.encode(), b'{"a":1,"b":"x"}', hashlib.sha256).hexdigest()
    assert Mask(KEY).object({"secret": {"b": "x", "a": 1}}) == {"secret": HASH + expected}


def test_equal_values_compare_equal_and_others_and_other_keys_do_not() -> None:
    mask = Mask(KEY)
    one = mask.object({"token": "a", "old_token": "a", "password": "b"})
    assert one["token"] == one["old_token"] != one["password"]
    assert one["token"] != Mask(KEY[::-1]).object({"token": "a"})["token"]


def test_the_catalog_says_what_is_hashed_what_is_plain_and_what_of_an_image_is_kept() -> None:
    mask = Mask(KEY)
    assert mask.object({"iban": "DE1", "token": "t"}, hashed=["iban"], plain=["token"]) == {
        "iban": mask.object({"token": "DE1"})["token"],
        "token": "t",
    }


OWN = """
[resources.invoice]
label = "Invoices"
target = "the invoice's number"
plain = ["token", "pin"]

[types.invoice_updated]
resource = "invoice"
event = "edit"
about = "An invoice was edited."
image = ["amount", "iban", "token"]
hashed = ["iban"]
details.properties.pin = { type = "string" }
details.required = ["pin"]
"""


@pytest.fixture
def journal_dir(tmp_path: Path) -> Path:
    (tmp_path / "events.toml").write_text(OWN)
    return configured(tmp_path, hash_key=KEY, catalog=str(tmp_path / "events.toml"))


def test_an_entry_keeps_of_its_images_what_its_type_lists(journal_dir: Path) -> None:
    old = {"amount": 3, "iban": "DE1", "token": "shop", "internal": "x"}
    images = whodid.changes(old, {**old, "amount": 4, "internal": "y"})
    with whodid.context(**WHO):
        log = whodid.get_logger()
        log.audit("invoice_updated", target="7", details={"pin": "declared", "password": "p"}, **images)
        log.audit("invoice_updated", target="7", before=old, after=old, details={"pin": "x"})
    first, second = recorded(journal_dir)
    assert (first["before"], first["after"]) == ({"amount": 3}, {"amount": 4})
    assert first["details"]["pin"] == "declared"
    assert first["details"]["password"].startswith(HASH)
    assert second["before"] == second["after"]
    assert second["before"].keys() == {"amount", "iban", "token"}
    assert second["before"]["iban"].startswith(HASH)
    assert second["before"]["token"] == "shop"


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ('hashed = ["a"]\nplain = ["a"]', "'a' is both hashed and plain"),
        ('hashed = ["a"]\ndetails.properties.a = {}', r"details\.a has a rule"),
        ('hashed = ["a"]\nbefore.properties.b.properties.a = {}', r"before\.b\.a has a rule"),
        ("details.properties.api_key = {}", r"details\.api_key looks like a secret.*add 'api_key' to plain"),
        ('details.properties.tokens = { enum = ["a"] }', r"details\.tokens looks like a secret"),
        ('image = ["a"]\nbefore.required = ["b"]', r"before\.b is required, but image drops it; add it to image"),
        ('image = ["a"]\nforbids = ["before", "after"]', "image lists names in before"),
        ("image = 3", "image must be a list of strings"),
    ],
)
def test_a_catalog_that_contradicts_itself_is_refused(tmp_path: Path, rule: str, says: str) -> None:
    text = OWN.split("image =")[0] + rule
    (tmp_path / "events.toml").write_text(text)
    with pytest.raises(whodid.CatalogError, match=says):
        configured(tmp_path, catalog=str(tmp_path / "events.toml"))


def test_a_key_that_could_be_tried_out_is_refused_and_never_shown(tmp_path: Path) -> None:
    with pytest.raises(whodid.SettingsError, match="hash_key has fewer than 32 characters") as caught:
        configured(tmp_path, hash_key="canary")
    assert "canary" not in str(caught.value)
    assert KEY not in repr(whodid.Settings(hash_key=KEY))
    with pytest.raises(whodid.SettingsError, match="not both"):
        configured(tmp_path, hash_key=KEY, hash_key_file="x")


def test_the_key_comes_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    file.chmod(0o600)
    journal_dir = configured(tmp_path, hash_key_file=str(file))
    with whodid.context(**WHO):
        whodid.get_logger().audit("team_created", target="1", after={"token": "a"})
    assert recorded(journal_dir)[0]["after"] == Mask(KEY).object({"token": "a"})
    file.write_text("short")
    with pytest.raises(whodid.SettingsError, match="hash_key_file holds fewer"):
        configured(tmp_path, hash_key_file=str(file))


def _plant(canary: str) -> dict[str, Any]:
    """A secret under every name and in every place of an object that a caller may hand over."""
    deep: Any = canary
    for _ in range(5):
        deep = [{"password": deep}]
    return {
        **dict.fromkeys(SECRET_NAMES, canary),
        "nested": {"a": [{"token": canary, "b": {"apiKey": [canary, {"x": canary}]}}]},
        "deep": deep,
        "url": f"https://user:{canary}@example.org/",
        "pem": f"-----BEGIN PRIVATE KEY-----\n{canary}",
        "large": {"secret": canary * 2000, "text": "x" * 60},
        "many": [{"password": f"{canary}-{n}"} for n in range(40)],
    }


@pytest.mark.parametrize("key", ["", KEY])
@pytest.mark.parametrize("on_invalid", ["raise", "quarantine"])
def test_no_canary_is_found_anywhere_afterwards(
    tmp_path: Path, key: str, on_invalid: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    canary = "hunter2canary"
    journal_dir = configured(tmp_path, hash_key=key, on_invalid=on_invalid)
    planted = _plant(canary)
    said: list[str] = []
    loggers: list[Any] = [whodid.get_logger(), logging.getLogger("app"), structlog.get_logger()]
    stream_handler = logging.StreamHandler()
    stream_handler.setFormatter(whodid.AuditJsonFormatter("%(message)s"))
    logging.getLogger("app").addHandler(stream_handler)
    broken: list[dict[str, Any]] = [
        {"password": canary},
        {"colour": planted},
        {"details": {**planted, "not json": {canary}}},
        {"details": {**planted, "nan": float("nan")}},
        {"after": [planted]},
        {"client_ip": f"https://x:{canary}@y"},
        {"outcome": "never", "details": planted},
    ]
    with warnings.catch_warnings(record=True) as caught, caplog.at_level(logging.DEBUG), whodid.context(**WHO):
        warnings.simplefilter("always")
        for log in loggers:
            receipt = log.audit("team_created", target="1", before=planted, after=planted, details=planted)
            assert receipt.recorded
            said += [repr(receipt), str(receipt)]
            for fields in broken:
                try:
                    said.append(repr(log.audit("team_created", target="1", **fields)))
                except whodid.InvalidEntry as error:
                    said += [str(error), repr(error)]
    logging.getLogger("app").removeHandler(stream_handler)
    entries = recorded(journal_dir)
    assert len(entries) == len(loggers)
    assert all(entry["before"]["password"].startswith(HASH if key else HIDDEN) for entry in entries)
    printed = capsys.readouterr()
    places = {
        **{str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*") if path.is_file()},
        "log": caplog.text,
        "printed": printed.out + printed.err,
        "said": json.dumps(said),
        "warned": " ".join(str(warning.message) for warning in caught),
        "settings": repr(whodid.recording.runtime.recorder().settings)
        + repr(vars(whodid.recording.runtime.recorder())["_mask"]),
    }
    assert [name for name, text in places.items() if canary in text or (key and key in text)] == []
    assert on_invalid == "raise" or "rejected.ndjson" in " ".join(places)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.binary(max_size=5)
    | st.text(st.characters(), max_size=2000) | st.builds(object) | st.decimals(),
    lambda inner: st.lists(inner, max_size=6)
    | st.dictionaries(st.text(st.characters(), max_size=300) | st.integers(), inner, max_size=6),
    max_leaves=30,
)  # fmt: skip


@given(ANYTHING)
def test_whatever_a_rejected_call_holds_is_kept_as_json_of_bounded_size(value: Any) -> None:
    assert len(orjson.dumps(masked({"details": value}))) < 128 * 1024


def test_of_a_large_call_the_beginning_is_kept_and_it_says_so() -> None:
    for large in (
        {str(n): n for n in range(1_000_000)},
        {"a": ["x" * 10_000] * 1000},
        {"a": [[[["x"] * 100] * 100] * 100] * 100},
        {"x" * 10_000_000: 1, **{str(n): "y" * 5000 for n in range(100)}},
    ):
        kept = masked(large)
        assert len(orjson.dumps(kept)) < 64 * 1024
        assert "…" in kept


@pytest.mark.parametrize("before", [900, 1000, 1020, 1030, 2030])
def test_no_secret_is_kept_by_half_where_a_text_is_cut(before: int) -> None:
    for secret in ("postgres://app:" + "hunter2" * 400 + "@db", "x ghp_hunter2hunter2hunter2"):
        kept = masked({"a": "-" * before + secret})
        assert "hunter2" not in kept["a"]


def test_a_name_that_was_cut_may_have_been_a_secret_s() -> None:
    assert list(masked({"x" * 300 + "_password": "hunter2"}).values()) == ["[masked]"]


def test_a_type_that_lies_about_its_name_fails_nothing() -> None:
    class Lying(type):
        @property
        def __name__(cls) -> str:  # type: ignore[override]
            raise RuntimeError

    class Value(metaclass=Lying):
        pass

    assert masked([Value(), {Value: 1}]) == ["[Value]", {"[Lying]": 1}]
