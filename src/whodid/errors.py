"""Every error whodid raises, in one tree; each message says what failed, on what, and what to do next.

WhodidError
├── SettingsError            a setting is unknown, malformed or contradicts another
├── CatalogError             an events.toml can't be used
├── InvalidEntry             the call breaks the catalog; nothing was written
│   └── EntryTooLarge        more than 64 KiB once serialised
├── NotRecorded              the journal could not make the entry durable
│   ├── JournalLocked        another process held the journal lock past the deadline
│   └── JournalFull          no space, no quota, or `max_bytes` reached
├── JournalDamaged           the journal directory can't be used as it is
├── ShippingError            a shipper could not start or go on
├── OpenSearchError          the cluster refused, or could not be reached
│   ├── OpenSearchUnavailable  no answer: worth another try later
│   │   └── NotTrusted       the cluster's certificate was not accepted
│   ├── NotAuthenticated     user or password not accepted (401)
│   └── NotAuthorized        the user lacks the right (403)
├── QueryError               a search that can't be asked as it was written
├── ExportError              an export's file can't be written, gone on with, or trusted
├── ReportError              a report's files can't be written, or are no report
├── ProofError               something can't be signed, or is not signed by whom it should be
├── WitnessError             a witness can't keep something, or keeps something else
└── DevServerError           the development OpenSearch could not be made, started or stopped
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
    """The call breaks the catalog; nothing was written."""


class EntryTooLarge(InvalidEntry):
    """More than 64 KiB once serialised."""


class NotRecorded(WhodidError):
    """The journal could not make the entry durable: it is not known to be recorded."""


class JournalLocked(NotRecorded):
    """Another process held the journal lock past the deadline."""


class JournalFull(NotRecorded):
    """No space, no quota, or `max_bytes` reached."""


class JournalDamaged(WhodidError):
    """The journal directory can't be used as it is."""


class ShippingError(WhodidError):
    """A shipper could not start or go on."""


class OpenSearchError(WhodidError):
    """The cluster refused, or could not be reached."""


class OpenSearchUnavailable(OpenSearchError):
    """No answer from the cluster: worth another try later."""


class NotTrusted(OpenSearchUnavailable):
    """The cluster's certificate was not accepted."""


class NotAuthenticated(OpenSearchError):
    """The cluster does not accept this user and password."""


class NotAuthorized(OpenSearchError):
    """The cluster knows the user, who lacks the right."""


class QueryError(WhodidError):
    """A search that can't be asked as it was written."""


class ExportError(WhodidError):
    """An export's file can't be written, gone on with, or trusted."""


class ReportError(WhodidError):
    """A report's files can't be written, or are no report."""


class ProofError(WhodidError):
    """Something can't be signed, or is not signed by whom it should be."""


class WitnessError(WhodidError):
    """A witness can't keep something, can't be read, or keeps something else."""


class DevServerError(WhodidError):
    """The development OpenSearch could not be made, started or stopped."""
