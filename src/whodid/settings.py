"""The settings: one frozen value, read once, at the edge.

A setting has one name everywhere: keyword of `whodid.configure()`, key in `whodid.toml`, `WHODID_` variable, and
option of the command line. First wins: keyword or option, variable, file, default. `config/whodid.toml` documents each.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from .client_ip import ForwardedHeader, Proxies
from .entry import FIELDS, Partitioning
from .errors import SettingsError
from .interruption import pass_on
from .spelling import did_you_mean
from .warning import warn

__all__ = [
    "MOST_DAYS",
    "Settings",
    "check_url",
    "is_loopback",
    "journal_place",
    "load_settings",
    "parse_age",
    "retention_days",
    "unknown_variables",
]

MOST_DAYS = 100_000
"""Days of a retention, and of the age in a policy, from which on they are no more than another word for never."""

MIN_HASH_KEY = 32
"""Characters of `hash_key`: with fewer, its hashes could be tried out."""

Durability = Literal["disk", "process"]


_PATHS = (
    *("journal_dir", "catalog", "hash_key_file", "opensearch_password_file", "opensearch_token_file"),
    *("opensearch_ca", "opensearch_client_cert", "opensearch_client_key", "signing_key_file", "signing_public_key"),
)
"""Settings that name a file or directory. `~` is expanded; relative ones are of the working directory of then."""


def _default_journal_dir() -> str:
    """Empty where the user has no home, which is an error only for whoever needs the journal."""
    try:
        state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    except RuntimeError:
        return ""
    return str(Path(state) / "whodid" / "journal")


def journal_place(journal_dir: str | Path) -> Path:
    """The absolute path of a journal directory. Raises `SettingsError` where nothing says which it is."""
    if not str(journal_dir):
        raise SettingsError(
            "journal_dir is not set, and this user has no home directory for the default; set journal_dir (the "
            "variable WHODID_JOURNAL_DIR or the option --journal-dir) to a directory that this user may write to"
        )
    return _absolute("journal_dir", journal_dir)


def _absolute(name: str, path: str | Path) -> Path:
    try:
        return Path(path).expanduser().absolute()
    except (RuntimeError, OSError) as error:
        pass_on(error)
        raise SettingsError(
            f"{name}: {str(path)!r} has no absolute path here, as there is no home or working directory; "
            "name it from the root (/…)"
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting, checked. Sizes are in bytes, times in seconds unless the value carries a unit (`365d`)."""

    journal_dir: str = field(default_factory=_default_journal_dir)
    service: str = ""
    host: str = field(default_factory=socket.gethostname)
    catalog: str = ""
    catalog_mode: Literal["extend", "replace"] = "extend"
    durability: Durability = "disk"
    on_failure: Literal["raise", "warn"] = "raise"
    on_invalid: Literal["raise", "quarantine"] = "raise"
    echo: bool = True
    hash_key: str = field(default="", repr=False)
    hash_key_file: str = ""
    trusted_proxies: tuple[str, ...] = ()
    forwarded_header: ForwardedHeader = "x-forwarded-for"
    lock_timeout: float = 5.0
    segment_bytes: int = 64 * 1024 * 1024
    segment_age: float = 3600.0
    keep_days: float = 0.0
    max_bytes: int = 0

    opensearch_hosts: tuple[str, ...] = ("http://127.0.0.1:9200",)
    opensearch_user: str = ""
    opensearch_password: str = field(default="", repr=False)
    opensearch_password_file: str = ""
    opensearch_token: str = field(default="", repr=False)
    opensearch_token_file: str = ""
    opensearch_aws_region: str = ""
    opensearch_aws_service: Literal["es", "aoss"] = "es"
    opensearch_ca: str = ""
    opensearch_client_cert: str = ""
    opensearch_client_key: str = ""
    opensearch_timeout: float = 30.0

    signing_key: str = field(default="", repr=False)
    signing_key_file: str = ""
    signing_command: str = ""
    signing_public_key: str = ""
    witnesses: tuple[str, ...] = ()

    index_prefix: str = "whodid-audit"
    partition: Partitioning = "month"
    retention: str = "365d"
    snapshot_repository: str = ""
    policy_priority: int = 500
    number_of_shards: int = 1
    audit_reads: bool = False

    ship: bool = False
    bulk_bytes: int = 2 * 1024 * 1024
    bulk_entries: int = 5000
    bulks_in_flight: int = 2
    ship_rate: int = 0
    drain_timeout: float = 10.0
    checkpoint_interval: float = 3600.0
    metrics_address: str = ""
    poll_interval: float = 1.0

    def __post_init__(self) -> None:
        for setting in fields(self):
            _check_type(setting.name, _hints()[setting.name], getattr(self, setting.name))
        for name in _PATHS:
            if path := getattr(self, name):
                object.__setattr__(self, name, str(_absolute(name, path)))
        witnesses = (str(_absolute("witnesses", one)) if one.startswith("~") else one for one in self.witnesses)
        object.__setattr__(self, "witnesses", tuple(witnesses))
        _check_values(self)


@cache
def _hints() -> dict[str, Any]:
    """Name and type of each setting."""
    return typing.get_type_hints(Settings)


_CONFIG_FILE_VARIABLE = "WHODID_CONFIG"


def load_settings(
    path: str | Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    from_text: Mapping[str, str] | None = None,
    **overrides: Any,
) -> Settings:
    """Settings from keywords, `WHODID_…` variables, a TOML file (`path`, or `WHODID_CONFIG`) and the defaults.

    A keyword that is `None` counts as not given; `from_text` are overrides written as in a variable. Raises
    `SettingsError` for an unknown key in a file or a call and for a value of the wrong form; an unknown `WHODID_`
    variable is only warned of (Kubernetes injects some for a service that is called whodid).
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    path = path or environ.get(_CONFIG_FILE_VARIABLE)
    if path:
        values |= _from_file(_absolute("the settings file", path))
    values |= _from_environ(environ)
    values |= {name: _parse(name, text) for name, text in (from_text or {}).items() if name in _hints()}
    values |= {name: value for name, value in overrides.items() if value is not None}
    for name in values:
        if name not in _hints():
            raise SettingsError(
                f"there is no setting {name!r}{did_you_mean(name, _hints())}; config/whodid.toml lists them all"
            )
    if values.get("journal_dir") == "":
        raise SettingsError("journal_dir is empty; name a directory, or leave it out for the default")
    return Settings(**{name: _coerce(name, value) for name, value in values.items()})


def _from_file(path: Path) -> dict[str, Any]:
    import tomllib  # only where there is a file

    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise SettingsError(f"the settings file {path} can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"the settings file {path} is not TOML: {error}") from error


def _from_environ(environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for variable, text in environ.items():
        name = variable.removeprefix("WHODID_").lower()
        if variable.startswith("WHODID_") and name in _hints():
            values[name] = _parse(name, text)
    for variable, meant in unknown_variables(environ).items():
        warn(f"{variable} names no setting of whodid and is ignored{meant}", stacklevel=4)
    return values


def unknown_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """`WHODID_` variables that name no setting, each with what may have been meant: empty, or a part of a sentence."""
    return {
        variable: did_you_mean(name, _hints())
        for variable in environ
        if variable.startswith("WHODID_") and variable not in _OTHER_VARIABLES and not variable.startswith(_OF_TESTS)
        if (name := variable.removeprefix("WHODID_").lower()) not in _hints()
    }


_OTHER_VARIABLES = {_CONFIG_FILE_VARIABLE, "WHODID_CACHE_DIR", "WHODID_MAVEN_MIRROR"}
_OF_TESTS = "WHODID_TEST_"


def _parse(name: str, text: str) -> Any:
    """The value of a `WHODID_` variable or an option: lists are separated by commas."""
    hint = _hints()[name]
    if hint is bool:
        if text.lower() not in {"true", "false", "1", "0", "yes", "no"}:
            raise SettingsError(f"{name} must be true or false, not {text!r}")
        return text.lower() in {"true", "1", "yes"}
    if hint in (int, float):
        try:
            return hint(text)
        except ValueError:
            raise SettingsError(f"{name} must be a number, not {text!r}") from None
    if hint == tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return text


def _coerce(name: str, value: Any) -> Any:
    hint = _hints()[name]
    if hint == tuple[str, ...]:
        if isinstance(value, str):
            return (value,)
        return tuple(value) if isinstance(value, list | tuple) else value
    if hint is float and type(value) is int:
        return float(value)
    if isinstance(value, Path):
        return str(value)
    return value


def _check_type(name: str, hint: Any, value: Any) -> None:
    if typing.get_origin(hint) is Literal:
        allowed = typing.get_args(hint)
        if value not in allowed:
            raise SettingsError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
    elif hint == tuple[str, ...]:
        if not (isinstance(value, tuple) and all(isinstance(part, str) for part in value)):
            raise SettingsError(f"{name} must be a list of strings")
    elif type(value) is not hint:
        raise SettingsError(f"{name} must be of type {hint.__name__}, not {type(value).__name__}")


_PREFIX = re.compile(r"[a-z][a-z0-9_-]{0,99}")


def _check_values(settings: Settings) -> None:
    retention_days(settings.retention)
    for name in ("host", "service"):
        value = getattr(settings, name)
        if len(value) > FIELDS[name].max_length or not value.isprintable():
            raise SettingsError(f"{name} must be printable and at most {FIELDS[name].max_length} characters long")
    if not _PREFIX.fullmatch(settings.index_prefix):
        raise SettingsError(
            f"index_prefix {settings.index_prefix!r} must be 1 to 100 characters, start with a lower-case letter and "
            "hold only lower-case letters, digits, '-' and '_'"
        )
    Proxies.of(settings.trusted_proxies, settings.forwarded_header)
    if not settings.opensearch_hosts:
        raise SettingsError("opensearch_hosts is empty; name at least one, such as https://search.example:9200")
    for host in settings.opensearch_hosts:
        check_url("opensearch_hosts", host, "https://search.example:9200")
    for name in ("opensearch_password", "opensearch_token", "hash_key"):
        if getattr(settings, name) and getattr(settings, f"{name}_file"):
            raise SettingsError(f"set {name} or {name}_file, not both")
    ways = {
        "opensearch_user": settings.opensearch_user,
        "opensearch_token": settings.opensearch_token,
        "opensearch_token_file": settings.opensearch_token_file,
        "opensearch_aws_region": settings.opensearch_aws_region,
    }
    if len(given := [name for name, value in ways.items() if value]) > 1:
        raise SettingsError(f"{' and '.join(given)} are two ways to sign in; set one of them")
    if 0 < len(settings.hash_key) < MIN_HASH_KEY:
        raise SettingsError(f"hash_key has fewer than {MIN_HASH_KEY} characters; make one with `openssl rand -hex 32`")
    _check_signing(settings)
    _check_ranges(settings)


def _check_signing(settings: Settings) -> None:
    ways = ("signing_key", "signing_key_file", "signing_command")
    if len(given := [name for name in ways if getattr(settings, name)]) > 1:
        raise SettingsError(f"{' and '.join(given)} are two ways to sign; set one of them")
    if settings.signing_command and not settings.signing_public_key:
        raise SettingsError("signing_command needs signing_public_key, the file with its public key, to check it by")


def _check_ranges(settings: Settings) -> None:
    for name in ("lock_timeout", "opensearch_timeout", "poll_interval", "segment_age", "checkpoint_interval"):
        if not 0 < getattr(settings, name) < float("inf"):
            raise SettingsError(f"{name} must be more than 0 seconds")
    for name in ("segment_bytes", "bulk_bytes", "bulk_entries", "bulks_in_flight", "number_of_shards"):
        if getattr(settings, name) < 1:
            raise SettingsError(f"{name} must be at least 1")
    for name in ("keep_days", "max_bytes", "policy_priority", "ship_rate", "drain_timeout"):
        if not 0 <= getattr(settings, name) < float("inf"):
            raise SettingsError(f"{name} must not be negative")


def check_url(name: str, url: str, example: str) -> None:
    """Raises `SettingsError` unless `url` is encrypted (or of this machine) and carries no password."""
    if "@" in url:  # before the URL is shown in another message
        raise SettingsError(f"{name} must not carry a password; use opensearch_user and opensearch_password_file")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise SettingsError(f"{name} must hold URLs such as {example}, not {url!r}")
    if parts.scheme == "http" and not is_loopback(str(parts.hostname)):
        raise SettingsError(
            f"{url} would send the audit log unencrypted; use https://. Plain http:// is for this machine only"
        )


def is_loopback(hostname: str) -> bool:
    """Whether a host name or address means this machine."""
    if hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(hostname).is_loopback
    except ValueError:
        return False


_AGE = re.compile(r"(\d{1,6})([dhms])")
_UNIT_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def parse_age(text: str) -> int:
    """Seconds in an age such as `365d`, `12h`, `90m` or `30s`. Raises `SettingsError`."""
    match = _AGE.fullmatch(text)
    if not match or int(match[1]) == 0:
        raise SettingsError(f"{text!r} is not an age; write a number and a unit, such as 365d or 12h")
    return int(match[1]) * _UNIT_SECONDS[match[2]]


def retention_days(text: str) -> int | None:
    """Whole days of a `retention` setting such as `365d`; `None` for `off`. Raises `SettingsError`."""
    if text == "off":
        return None
    if not text.endswith("d"):
        raise SettingsError(f"retention must be a number of days such as 365d, or off, not {text!r}")
    days = parse_age(text) // 86400
    if days >= MOST_DAYS:
        raise SettingsError(f"retention must be less than {MOST_DAYS:,} days, or off, not {text!r}")
    return days
