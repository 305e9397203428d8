"""Bulk: one request of journalled lines to OpenSearch, and the verdict on each of them.

The lines are spliced into the body as they stand in the journal. Every item of the answer is looked at, whatever the
HTTP status says, and judged by `error.type`: a flood-stage block is an item 429, `blocks.write` a 403, a closed index a
400, a missing one a 404, and all of these pass. Only what the mapping refuses is refused for good.

Verdicts: `stored` (201, or 409: the same `_id` is the same content), `refused` (mapping or parsing), `wait` (again
later, and why). A request that is refused as a whole is halved until the entry to blame stands alone; but only where
OpenSearch itself refused it: a proxy that answers 400 to everything would turn every entry into a dead letter.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from .connection import cause

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["STORED", "Cause", "Document", "Verdict", "send_bulk"]

_REFUSED = {
    "mapper_parsing_exception",
    "document_parsing_exception",
    "strict_dynamic_mapping_exception",
    "parsing_exception",
    "parse_exception",
    "max_bytes_length_exceeded_exception",
}
_IMMENSE = "Document contains at least one immense term"
_FILTER = "errors,items.*.status,items.*.error"


class Document(NamedTuple):
    """One journalled line with its address: `raw` becomes the `_source`, byte for byte."""

    id: str
    partition: str
    raw: bytes


Cause = Literal[
    "",
    "no_connection",
    "no_trust",
    "time_out",
    "throttled",
    "too_large",
    "unavailable",
    "no_rights",
    "blocked",
    "answer",
]
"""What a document waits for, in this order: nothing; a connection; a certificate to trust; an answer; less to do (429);
a smaller request (413); a server or shard that is away (5xx); a right or a password (401, 403); a block, a closed or a
missing index to be mended; an answer that can be understood."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one document; `reason` in OpenSearch's words unless it was stored."""

    kind: Literal["stored", "refused", "wait"]
    reason: str = ""
    cause: Cause = ""


STORED = Verdict("stored")
CREATED = {"create": {"status": 201}}


def send_bulk(client: OpenSearch, documents: Sequence[Document], timeout: float) -> list[Verdict]:
    """Sends the documents and returns a verdict for each, in order. Raises nothing that a retry could mend."""
    from opensearchpy import ConnectionError as NoConnection
    from opensearchpy import ConnectionTimeout, ImproperlyConfigured, SerializationError, SSLError, TransportError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecation headers of the server are for `whodid doctor`
            answer = client.bulk(body=_body(documents), params={"filter_path": _FILTER, "request_timeout": timeout})
    except ConnectionTimeout as error:
        return [Verdict("wait", f"no answer in time: {_brief(error)}", "time_out")] * len(documents)
    except SSLError as error:
        reason = f"the certificate of OpenSearch was not accepted: {cause(error)}"
        return [Verdict("wait", reason, "no_trust")] * len(documents)
    except NoConnection as error:
        return [Verdict("wait", f"no connection: {_brief(error)}", "no_connection")] * len(documents)
    except ImproperlyConfigured:
        raise
    except TransportError as error:
        return _whole_request_failed(client, documents, timeout, error)
    except SerializationError:
        answer = None
    items = answer.get("items") if isinstance(answer, dict) else None
    if not isinstance(items, list) or len(items) != len(documents):
        reason = "the answer was not that of a bulk request; is a proxy in between?"
        return [Verdict("wait", reason, "answer")] * len(documents)
    if answer.get("errors") is False and items.count(CREATED) == len(items):
        return [STORED] * len(items)
    return [_judge(item) for item in items]


def _body(documents: Sequence[Document]) -> bytes:
    parts: list[bytes] = []
    for id_, partition, raw in documents:
        parts += (f'{{"create":{{"_index":"{partition}","_id":"{id_}"}}}}'.encode(), raw)
    parts.append(b"")
    return b"\n".join(parts)


def _whole_request_failed(
    client: OpenSearch, documents: Sequence[Document], timeout: float, error: Any
) -> list[Verdict]:
    reason = f"HTTP {error.status_code}: {_brief(error)}"
    to_blame = error.status_code == 400 and _is_opensearch(error)
    if not to_blame:
        return [Verdict("wait", reason, _cause_of(error.status_code))] * len(documents)
    if len(documents) == 1:
        return [Verdict("refused", reason)]
    half = len(documents) // 2
    return [
        *send_bulk(client, documents[:half], timeout),
        *send_bulk(client, documents[half:], timeout),
    ]


def _is_opensearch(error: Any) -> bool:
    """Whether the bulk handler itself says what is wrong, rather than a proxy or a server without one."""
    return isinstance(error.info, dict) and isinstance(error.info.get("error"), dict)


def _judge(item: Any) -> Verdict:
    result = item.get("create") if isinstance(item, dict) else None
    if not isinstance(result, dict):
        return Verdict("wait", "an item of the answer was not understood", "answer")
    status = result.get("status")
    if status in {200, 201, 409}:
        return STORED
    error = result.get("error")
    kind, reason = (error.get("type", ""), error.get("reason", "")) if isinstance(error, dict) else ("", str(error))
    why = f"{kind}: {reason}" + _cause(error)
    refused = kind in _REFUSED or (kind == "illegal_argument_exception" and str(reason).startswith(_IMMENSE))
    return Verdict("refused", why) if refused else Verdict("wait", why, _cause_of(status, kind))


_BLOCKS = {"cluster_block_exception", "index_closed_exception", "index_not_found_exception"}


def _cause_of(status: object, error_type: str = "") -> Cause:
    if error_type in _BLOCKS:  # whatever their status, which may be 429 for a full disk and 403 for a read-only index
        return "blocked"
    if status == 429:
        return "throttled"
    if status == 413:
        return "too_large"
    if status in {401, 403}:
        return "no_rights"
    if isinstance(status, int) and status >= 500:
        return "unavailable"
    return "blocked"


def _cause(error: Any) -> str:
    cause = error.get("caused_by") if isinstance(error, dict) else None
    return f" ({cause.get('reason')})" if isinstance(cause, dict) else ""


def _brief(error: Any) -> str:
    """The kind of failure, without the body of an answer (a proxy's HTML page, say) and without credentials."""
    return str(getattr(error, "error", "") or type(error).__name__)[:200].splitlines()[0]
