"""Every error whodid raises, in one tree; each message says what failed, on what, and what to do next.

WhodidError
├── SettingsError            a setting is unknown, malformed or contradicts another
├── CatalogError             an events.toml can't be used
├── InvalidEntry             the call breaks a rule of the catalog; nothing was written
│   └── EntryTooLarge        the entry exceeds 64 KiB once serialised
├── NotRecorded              the journal could not make the entry durable
│   ├── JournalLocked        another process held the journal lock past the deadline
│   └── JournalFull          no space, no quota, or `max_bytes` reached
├── JournalDamaged           the journal directory can't be used as it is
├── ShippingError            a shipper could not start or continue
├── OpenSearchError          the cluster refused, or could not be reached
│   ├── OpenSearchUnavailable  no answer; a later attempt may succeed
│   │   └── NotTrusted       the cluster's certificate was not accepted
│   ├── NotAuthenticated     user or password not accepted (401)
│   └── NotAuthorized        the user lacks the right (403)
├── QueryError               a search query is not valid
├── ExportError              an export's file can't be written, resumed, or trusted
├── ReportError              a report's files can't be written, or are not a report
├── ProofError               something can't be signed, or lacks the expected signature
├── WitnessError             a witness can't be written or read, or its copy differs
└── DevServerError           the development OpenSearch could not be created, started or stopped
"""

from __future__ import annotations

__all__ = [
    "CatalogError",
    "DevServerError",
    "EntryTooLarge",
    "ExportError",
    "InvalidEntry",
    "JournalDamaged",
    "JournalFull",
    "JournalLocked",
    "NotAuthenticated",
    "NotAuthorized",
    "NotRecorded",
    "NotTrusted",
    "OpenSearchError",
    "OpenSearchUnavailable",
    "ProofError",
    "QueryError",
    "ReportError",
    "SettingsError",
    "ShippingError",
    "WhodidError",
    "WitnessError",
]


class WhodidError(Exception):
    """The root of all errors raised by whodid."""


class SettingsError(WhodidError):
    """A setting is unknown, malformed or contradicts another."""


class CatalogError(WhodidError):
    """An events.toml can't be used."""


class InvalidEntry(WhodidError):
    """The call breaks a rule of the catalog; nothing was written."""


class EntryTooLarge(InvalidEntry):
    """The entry exceeds 64 KiB once serialised."""


class NotRecorded(WhodidError):
    """The journal could not make the entry durable; whether it was recorded is unknown."""


class JournalLocked(NotRecorded):
    """Another process held the journal lock past the deadline."""


class JournalFull(NotRecorded):
    """The disk or the quota is full, or `max_bytes` is reached."""


class JournalDamaged(WhodidError):
    """The journal directory can't be used as it is."""


class ShippingError(WhodidError):
    """A shipper could not start or continue."""


class OpenSearchError(WhodidError):
    """The cluster refused, or could not be reached."""


class OpenSearchUnavailable(OpenSearchError):
    """The cluster did not answer; a later attempt may succeed."""


class NotTrusted(OpenSearchUnavailable):
    """The cluster's certificate was not accepted."""


class NotAuthenticated(OpenSearchError):
    """The cluster does not accept this user and password."""


class NotAuthorized(OpenSearchError):
    """The user is known to the cluster but lacks the permission."""


class QueryError(WhodidError):
    """A search query is not valid."""


class ExportError(WhodidError):
    """An export's file can't be written, resumed, or trusted."""


class ReportError(WhodidError):
    """A report's files can't be written, or are not a report."""


class ProofError(WhodidError):
    """Something can't be signed, or lacks the expected signature."""


class WitnessError(WhodidError):
    """A witness can't be written or read, or its copy differs."""


class DevServerError(WhodidError):
    """The development OpenSearch could not be created, started or stopped."""
