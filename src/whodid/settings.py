"""The settings: one frozen value, read once when the process starts.

A setting has one name everywhere: as a keyword of `whodid.configure()`, as a key in `whodid.toml`, as a `WHODID_`
variable and as an option of the command line. Keywords and options take precedence over variables, variables over the
file, and the file over the defaults. `config/whodid.toml` documents each setting.
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
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from .entry import FIELDS, Partitioning
from .errors import SettingsError
from .process import pass_on, warn
from .recording.client_ip import ForwardedHeader, Proxies
from .text import did_you_mean, toml_of

if TYPE_CHECKING:
    from .typing import SettingsKeywords

__all__ = [
    "MOST_DAYS",
    "Level",
    "Settings",
    "check_levels",
    "check_url",
    "is_loopback",
    "journal_place",
    "load_settings",
    "parse_age",
    "retention_days",
    "unknown_variables",
]

MOST_DAYS = 100_000
"""Number of days from which a retention, or an age in a policy, is treated as unlimited."""

MIN_HASH_KEY = 32
"""Minimum length of `hash_key`: a shorter key could be guessed from its hashes."""

Durability = Literal["disk", "process"]
Level = Literal["full", "metadata", "off"]


PATHS = (
    *("journal_dir", "catalog", "hash_key_file", "opensearch_password_file", "opensearch_token_file"),
    *("opensearch_ca", "opensearch_client_cert", "opensearch_client_key", "signing_key_file", "signing_public_key"),
)
"""Settings that name a file or directory. `~` is expanded; relative paths start at the current working directory."""


def _default_journal_dir() -> str:
    """The default journal directory; empty if the user has no home, which is an error only if a journal is needed."""
    try:
        state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    except RuntimeError:
        return ""
    return str(Path(state) / "whodid" / "journal")


def journal_place(journal_dir: str | Path) -> Path:
    """The absolute path of a journal directory. Raises `SettingsError` if none is set and there is no default."""
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
            f"{name}: {str(path)!r} has no absolute path here, because there is no home or working directory; "
            "write an absolute path (/…)"
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, validated. Sizes are in bytes, times in seconds unless the value has a unit (`365d`).

    `whodid.configure` reads keywords, `WHODID_…` variables and a TOML file. Created directly, settings that are not
    given have their defaults, and neither variables nor files are read.

    Raises:
        SettingsError: A value is malformed or contradicts another.

    Example:
        >>> settings = whodid.Settings(journal_dir="/var/lib/app/audit", service="shop")
        >>> whodid.configure(settings=settings)
    """

    journal_dir: str = field(default_factory=_default_journal_dir)
    """The directory of the journal, shared by all processes of the host that record into it. Use a real disk, not
    tmpfs. The default is $XDG_STATE_HOME/whodid/journal, or ~/.local/state/whodid/journal. A user without a home
    directory (a container with an arbitrary UID) has no default and must set it."""

    service: str = ""
    """Name of the application, in each entry."""

    host: str = field(default_factory=socket.gethostname)
    """Name of the machine or pod, in each entry. The default is the host name."""

    catalog: str = ""
    """An events.toml with your own event types; empty for the platform's 54 types."""

    durability: Durability = "disk"
    """How durable an entry is when the call returns: "disk" survives a power loss; "process" survives kill -9, and a
    power loss about a second later. A type in the catalog may override it."""

    on_failure: Literal["raise", "warn"] = "raise"
    """When an entry can't be recorded: "raise" stops the action that can't be audited; "warn" lets it continue and
    counts the failure."""

    on_invalid: Literal["raise", "quarantine"] = "raise"
    """When a call breaks a rule of the catalog: "raise", or "quarantine" to keep it in rejected.ndjson with secrets
    masked."""

    record: Mapping[str, Level] = field(default_factory=dict, hash=False)
    """How much is recorded of event types, such as {"credentials_*" = "metadata", workflow_created = "off"}: "full"
    (the default), "metadata" (without before, after and details) or "off" (nothing). The event types of whodid itself
    can't be listed. A change is recorded. As text: "credentials_*=metadata,workflow_created=off"."""

    echo: bool = True
    """Write one line to the ordinary log for each entry: type, target and entry ID, never personal fields."""

    hash_key: str = field(default="", repr=False)
    """The key of the hashes that replace secrets in before, after and details, so that equal secrets have equal hashes:
    at least 32 characters, the same on all hosts (`openssl rand -hex 32`). Without a key, "[hidden]" replaces secrets.
    Prefer `hash_key_file`."""

    hash_key_file: str = ""
    """A file (mode 0600) that holds the hash key. Set this or `hash_key`, not both."""

    trusted_proxies: tuple[str, ...] = ()
    """Networks of the proxies that are trusted to name the client, such as ["10.0.0.0/8"]. The default trusts none.
    "unix" trusts all connections through the server's Unix socket; use it only if the server listens on nothing
    else."""

    forwarded_header: ForwardedHeader = "x-forwarded-for"
    """The header in which trusted proxies name the client; "forwarded" is RFC 7239. The other header is never read,
    because a proxy may pass on what a client puts there."""

    lock_timeout: float = 5.0
    """Seconds to wait for another process that writes to the journal before the call fails."""

    segment_bytes: int = 64 * 1024 * 1024
    """Size in bytes at which a segment of the journal is closed."""

    segment_age: float = 3600.0
    """Age in seconds at which a segment of the journal is closed."""

    keep_days: float = 0.0
    """Days to keep a segment after all of its entries were shipped."""

    max_bytes: int = 0
    """Maximum size of the journal in bytes; 0 for no limit. When it is reached, recording fails as on_failure says.
    Rejected calls (on_invalid = "quarantine") count too: they take at most an eighth of it, and at most 16 MiB."""

    opensearch_hosts: tuple[str, ...] = ("http://127.0.0.1:9200",)
    """URLs of the cluster's nodes. Nodes on other machines must use https://."""

    opensearch_user: str = ""
    """The user to sign in as, with a password."""

    opensearch_password: str = field(default="", repr=False)
    """The password of `opensearch_user`. Prefer `opensearch_password_file`."""

    opensearch_password_file: str = ""
    """A file (mode 0600) that holds the password. Set this or `opensearch_password`, not both."""

    opensearch_token: str = field(default="", repr=False)
    """A bearer token, such as a JWT, instead of user and password. Prefer `opensearch_token_file`."""

    opensearch_token_file: str = ""
    """A file (mode 0600) that holds the token; it is read again when the cluster refuses it. Set this or
    `opensearch_token`, not both."""

    opensearch_aws_region: str = ""
    """Sign requests (SigV4) for this AWS region with the credentials that botocore finds, instead of a user or token.
    Needs the extra "aws"."""

    opensearch_aws_service: Literal["es", "aoss"] = "es"
    """The AWS service for signed requests: "es" is OpenSearch Service, "aoss" is OpenSearch Serverless."""

    opensearch_ca: str = ""
    """A PEM file with the certificate authority to trust, if the system does not trust it."""

    opensearch_client_cert: str = ""
    """A client certificate: a PEM file."""

    opensearch_client_key: str = ""
    """The key of the client certificate: a PEM file."""

    opensearch_timeout: float = 30.0
    """Seconds to wait for a response of the cluster."""

    signing_key: str = field(default="", repr=False)
    """The private key (Ed25519, PEM) that signs checkpoints and the manifests of exports; `whodid key new FILE` creates
    one. Without a key nothing is signed. Prefer `signing_key_file` or `signing_command`; set at most one of the
    three."""

    signing_key_file: str = ""
    """A file (mode 0600) that holds the signing key."""

    signing_command: str = ""
    """A command that signs its standard input, for a key that stays in a KMS or HSM."""

    signing_public_key: str = ""
    """A file that holds the public key of `signing_command`."""

    witnesses: tuple[str, ...] = ()
    """Where copies of checkpoints are kept outside the cluster and this host, so that an administrator of both can't
    forge them: directories (absolute paths on WORM storage), "s3://bucket/prefix?region=…" with object lock, or
    "package.module:factory". See `whodid help integrity`."""

    index_prefix: str = "whodid-audit"
    """The prefix of index names, such as <index_prefix>-2026.11."""

    partition: Partitioning = "month"
    """The length of a partition: entries are deleted by whole partitions. A change applies to new entries only."""

    retention: str = "365d"
    """Each entry is kept at least this long, and at most one partition and two days longer. "off" keeps everything."""

    snapshot_repository: str = ""
    """A snapshot repository of the cluster; a partition is saved there before retention deletes it. Empty for none."""

    policy_priority: int = 500
    """Priority of the ISM policy's template. If several policies match a new partition, ISM applies the one with the
    highest priority. It refuses two policies of the same priority whose patterns overlap."""

    number_of_shards: int = 1
    """Primary shards of a partition."""

    audit_reads: bool = False
    """Record who searches, views and exports entries, in the audit log itself, through journal_dir. The tab always
    records it, unless it is created with audit_reads=False."""

    ship: bool = False
    """Ship from a background thread of the application (development, small applications) instead of `whodid ship`."""

    bulk_bytes: int = 2 * 1024 * 1024
    """Maximum size of a bulk request in bytes."""

    bulk_entries: int = 5000
    """Maximum number of entries in a bulk request."""

    bulks_in_flight: int = 2
    """Maximum number of concurrent bulk requests; the shipper holds about bulk_bytes in memory for each."""

    ship_rate: int = 0
    """Maximum number of entries shipped per second; 0 for no limit."""

    drain_timeout: float = 10.0
    """Seconds for which `whodid ship`, once stopped, still ships entries that are in the journal."""

    checkpoint_interval: float = 3600.0
    """Seconds between checkpoints. `whodid ship` writes a checkpoint, a signed record of how far each journal had come,
    even if nothing was shipped since the last one (`whodid help integrity`)."""

    metrics_address: str = ""
    """HOST:PORT on which `whodid ship` serves /metrics (Prometheus), /healthz and /readyz; empty to disable. Needs the
    extra "metrics". These pages show counts, never entries."""

    poll_interval: float = 1.0
    """Seconds to wait before reading the journal again when there was nothing to ship."""

    def __post_init__(self) -> None:
        for setting in fields(self):
            _check_type(setting.name, _hints()[setting.name], getattr(self, setting.name))
        for name in PATHS:
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
    **overrides: typing.Unpack[SettingsKeywords],
) -> Settings:
    """Reads settings from keywords, `WHODID_…` variables, a TOML file (`path`, or `WHODID_CONFIG`) and the defaults.

    A keyword that is `None` counts as not given; `from_text` holds overrides written as in a variable. Raises
    `SettingsError` for an unknown key in a file or a call and for a malformed value. An unknown `WHODID_` variable
    causes a warning only, because Kubernetes injects some for a service named whodid.
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
                f"unknown setting {name!r}{did_you_mean(name, _hints())}; config/whodid.toml lists all settings"
            )
    if values.get("journal_dir") == "":
        raise SettingsError("journal_dir is empty; set it to a directory, or leave it out for the default")
    return Settings(**{name: _coerce(name, value) for name, value in values.items()})


def _from_file(path: Path) -> dict[str, Any]:
    try:
        return toml_of(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"the settings file {path} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"the settings file {path} is not TOML: {error}") from error


def _from_environ(environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for variable, text in environ.items():
        name = variable.removeprefix("WHODID_").lower()
        if variable.startswith("WHODID_") and name in _hints():
            values[name] = _parse(name, text)
    for variable, meant in unknown_variables(environ).items():
        warn(f"{variable} is ignored: whodid has no such setting{meant}", stacklevel=4)
    return values


def unknown_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """`WHODID_` variables that name no setting, each with a suggestion for a message, which may be empty."""
    return {
        variable: did_you_mean(name, _hints())
        for variable in environ
        if variable.startswith("WHODID_") and variable not in _OTHER_VARIABLES and not variable.startswith(_OF_TESTS)
        if (name := variable.removeprefix("WHODID_").lower()) not in _hints()
    }


_OTHER_VARIABLES = {_CONFIG_FILE_VARIABLE, "WHODID_CACHE_DIR", "WHODID_MAVEN_MIRROR"}
_OF_TESTS = "WHODID_TEST_"


def _parse(name: str, text: str) -> Any:
    """Parses the text of a `WHODID_` variable or an option; commas separate the values of a list."""
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
    if typing.get_origin(hint) is Mapping:
        pairs = (part.partition("=") for part in text.split(",") if part.strip())
        return {key.strip(): value.strip() for key, _, value in pairs}
    return text


def _coerce(name: str, value: Any) -> Any:
    hint = _hints()[name]
    if hint == tuple[str, ...]:
        if isinstance(value, str):
            return (value,)
        return tuple(value) if isinstance(value, list | tuple) else value
    if hint is float and type(value) is int and abs(value) < 2**63:
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
    elif typing.get_origin(hint) is Mapping:
        check_levels(value)
    elif type(value) is not hint:
        raise SettingsError(f"{name} must be of type {hint.__name__}, not {type(value).__name__}")


_TYPES = re.compile(r"[a-z][a-z0-9_]{0,127}\*?")
_MOST_LEVELS = 100
"""Maximum number of keys of `record`: an entry holds those before and after a change."""


def check_levels(record: object) -> None:
    """Raises `SettingsError` unless `record` is a value of that setting."""
    if not isinstance(record, Mapping) or len(record) > _MOST_LEVELS:
        raise SettingsError(
            f'record must be a table such as {{"credentials_*" = "metadata"}}, with at most {_MOST_LEVELS} keys'
        )
    for name, level in record.items():
        if not (isinstance(name, str) and _TYPES.fullmatch(name)):
            raise SettingsError(f"record: {name!r} must be an event type, or the start of several: 'credentials_*'")
        if name.startswith("audit_log"):
            raise SettingsError(f"record: {name}: what whodid records itself is recorded in full; leave it out")
        if level not in typing.get_args(Level):
            raise SettingsError(f"record: {name} must be one of {', '.join(typing.get_args(Level))}, not {level!r}")


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
        raise SettingsError("opensearch_hosts is empty; set at least one URL, such as https://search.example:9200")
    for host in settings.opensearch_hosts:
        check_url("opensearch_hosts", host, "https://search.example:9200")
    for name in ("opensearch_password", "opensearch_token", "hash_key"):
        if getattr(settings, name) and getattr(settings, f"{name}_file"):
            raise SettingsError(f"set {name} or {name}_file, not both")
    _refuse_several(settings, "sign in", _SIGN_IN)
    _refuse_several(settings, "sign", ("signing_key", "signing_key_file", "signing_command"))
    if settings.signing_command and not settings.signing_public_key:
        raise SettingsError("signing_command needs signing_public_key, a file with its public key")
    if 0 < len(settings.hash_key) < MIN_HASH_KEY:
        raise SettingsError(f"hash_key has fewer than {MIN_HASH_KEY} characters; create one: openssl rand -hex 32")
    _check_ranges(settings)


_SIGN_IN = ("opensearch_user", "opensearch_token", "opensearch_token_file", "opensearch_aws_region")


def _refuse_several(settings: Settings, purpose: str, names: tuple[str, ...]) -> None:
    if len(given := [name for name in names if getattr(settings, name)]) > 1:
        raise SettingsError(f"{' and '.join(given)} are two ways to {purpose}; set one of them")


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
    """Raises `SettingsError` unless `url` uses https (or names this machine) and contains no password."""
    if "@" in url:  # checked first, so that no other message shows the password
        raise SettingsError(f"{name} must not contain a password; use opensearch_user and opensearch_password_file")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise SettingsError(f"{name} must hold URLs such as {example}, not {url!r}")
    if parts.scheme == "http" and not is_loopback(str(parts.hostname)):
        raise SettingsError(
            f"{url} would send the audit log unencrypted; use https://. http:// is allowed for this machine only"
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
    """The seconds of an age such as `365d`, `12h`, `90m` or `30s`. Raises `SettingsError`."""
    match = _AGE.fullmatch(text)
    if not match or int(match[1]) == 0:
        raise SettingsError(f"{text!r} is not an age; write a number and a unit, such as 365d or 12h")
    return int(match[1]) * _UNIT_SECONDS[match[2]]


def retention_days(text: str) -> int | None:
    """The days of a `retention` setting such as `365d`; `None` for `off`. Raises `SettingsError`."""
    if text == "off":
        return None
    if not text.endswith("d"):
        raise SettingsError(f"retention must be a number of days such as 365d, or off, not {text!r}")
    days = parse_age(text) // 86400
    if days >= MOST_DAYS:
        raise SettingsError(f"retention must be less than {MOST_DAYS:,} days, or off, not {text!r}")
    return days
