"""Bulk requests of journalled lines to OpenSearch, and a verdict on each line.

Lines are copied from the journal into the body unchanged. A request is for one partition, named in its path as clusters
with `rest.action.multi.allow_explicit_index: false` require, and uses no ingest pipeline. Every item of the answer is
checked, whatever the HTTP status.

Verdicts: `stored` (under the requested `_id` and in the requested partition), `refused` (mapping or parsing), `wait`
(everything else, with the cause). Errors are classified by `error.type`: a flood-stage block is an item 429,
`blocks.write` a 403, a closed index a 400, a missing one a 404, and all of these are temporary. A 200 means failure: it
is the answer when an ingest pipeline drops an entry.

A document with our `_id` exists already (409) if an earlier request stored it and was not acknowledged. A pipeline that
is gone by now may have changed it, and the shipper may not read it, so a second request replaces it by the line, with
`external_gte` and version 1: it does not create another version, and leaves a document as it is that somebody (an
erasure) changed later and that has a higher version, or that nobody can replace (in an index that is append-only or,
by the Security plugin, immutable; in a cluster that refuses such requests).

A request that OpenSearch refuses as a whole is halved until the offending entries are alone. They are refused only if
other entries of the request pass; if none does, the fault is not in the entries, and all of them wait.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import orjson

from ..text import FOREIGN, RawAnswer
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
_FILTER = "errors,items.*._index,items.*._id,items.*.status,items.*.error"
_IRREPLACEABLE = "validation_exception"
"""The error of an item that would replace a document of an append-only index."""
_SAMPLE = 8
"""The number of entries of a refused request that are tried alone before the request is halved."""


class Document(NamedTuple):
    """One journalled line with its ID and partition: `raw` becomes the `_source`, byte for byte."""

    id: str
    partition: str
    raw: bytes


Action = Literal["create", "index"]

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
    "request",
    "configuration",
    "answer",
]
"""Why a document waits, in this order: it doesn't; no connection; an untrusted certificate; no answer in time; too many
requests (429); a too large request (413); an unavailable server or shard (5xx); a missing right or a wrong password
(401, 403); a blocked, closed or missing index; a cluster that refuses every request (400); a pipeline, alias or limit
that refuses, drops or misplaces valid entries; an answer that can't be understood."""

_UNREACHABLE: set[Cause] = {"no_connection", "no_trust", "time_out"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result for one document; `reason` is OpenSearch's, and empty if it was stored."""

    kind: Literal["stored", "refused", "wait"]
    reason: str = ""
    cause: Cause = ""


STORED = Verdict("stored")


def send_bulk(client: OpenSearch, documents: Sequence[Document], timeout: float) -> list[Verdict]:
    """Sends the documents, with one request for each partition, and returns a verdict for each, in order.

    Temporary errors become verdicts. If the cluster is unreachable, the remaining partitions are not tried.
    """
    positions: dict[str, list[int]] = {}
    for position, document in enumerate(documents):
        positions.setdefault(document.partition, []).append(position)
    if len(positions) == 1:
        return _store(client, documents, timeout)
    verdicts: dict[int, Verdict] = {}
    for found in positions.values():
        part = _store(client, [documents[position] for position in found], timeout)
        verdicts |= zip(found, part, strict=True)
        if part[0].cause in _UNREACHABLE:
            return [verdicts.get(position, part[0]) for position in range(len(documents))]
    return [verdicts[position] for position in range(len(documents))]


def _store(client: OpenSearch, documents: Sequence[Document], timeout: float) -> list[Verdict]:
    """Sends documents to one partition, and replaces those that exist there."""
    verdicts = _send(client, documents, timeout, "create")
    exist = [document for document, verdict in zip(documents, verdicts, strict=True) if verdict is _EXISTS]
    if not exist:
        return verdicts
    # a cluster that refuses such a request altogether, whatever is in it, keeps what it has
    replaced = (STORED if one.cause == "request" else one for one in _send(client, exist, timeout, "index"))
    return [next(replaced) if verdict is _EXISTS else verdict for verdict in verdicts]


_EXISTS = Verdict("stored", "a document with this ID exists already")


def _send(client: OpenSearch, documents: Sequence[Document], timeout: float, action: Action) -> list[Verdict]:
    """Sends documents to one partition; a request that is refused as a whole is halved."""
    verdicts = _request(client, documents, timeout, action)
    if verdicts[0].cause != "request" or len(documents) == 1:
        return verdicts
    if len(documents) > 2 * _SAMPLE:
        alone = [_request(client, [one], timeout, action)[0] for one in random.sample(documents, _SAMPLE)]
        if all(verdict.cause == "request" for verdict in alone):
            return verdicts
    verdicts = _halved(client, documents, timeout, action)
    if all(verdict.kind == "wait" for verdict in verdicts):
        return verdicts
    return [Verdict("refused", one.reason) if one.cause == "request" else one for one in verdicts]


def _halved(client: OpenSearch, documents: Sequence[Document], timeout: float, action: Action) -> list[Verdict]:
    verdicts: list[Verdict] = []
    half = len(documents) // 2
    for part in (documents[:half], documents[half:]):
        found = _request(client, part, timeout, action)
        refused = found[0].cause == "request" and len(part) > 1
        verdicts += _halved(client, part, timeout, action) if refused else found
    return verdicts


def _request(client: OpenSearch, documents: Sequence[Document], timeout: float, action: Action) -> list[Verdict]:
    """Sends one request; returns the verdicts of its items, or the same verdict for all."""
    from opensearchpy import ConnectionError as NoConnection
    from opensearchpy import ConnectionTimeout, ImproperlyConfigured, SerializationError, SSLError, TransportError

    partition = documents[0].partition
    filter_path = _FILTER if action == "create" else f"{_FILTER},items.*.result"
    # no `default_pipeline` may change or drop an entry, or its hash would no longer match
    parameters = {"filter_path": filter_path, "pipeline": "_none", "request_timeout": timeout}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `whodid doctor` reports deprecation headers of the server
            answer = client.bulk(index=partition, body=_body(documents, action), params=parameters)
    except ConnectionTimeout as error:
        failed = Verdict("wait", f"no answer in time: {_words(error)}", "time_out")
    except SSLError as error:
        failed = Verdict("wait", f"the certificate of OpenSearch was not accepted: {cause(error)}", "no_trust")
    except NoConnection as error:
        failed = Verdict("wait", f"no connection: {_words(error)}", "no_connection")
    except ImproperlyConfigured:
        raise
    except TransportError as error:
        failed = Verdict("wait", f"HTTP {error.status_code}: {_words(error)}", _cause_of_all(error))
    except (SerializationError, *FOREIGN):  # the client library assumes that the body of an error is an object
        failed = _NOT_UNDERSTOOD
    else:
        return _verdicts(answer, documents, action)
    return [failed] * len(documents)


_NOT_UNDERSTOOD = Verdict("wait", "the answer was not that of a bulk request; is a proxy in between?", "answer")


def _verdicts(answer: object, documents: Sequence[Document], action: Action) -> list[Verdict]:
    if isinstance(answer, RawAnswer):
        if answer == _all_created(documents):
            return [STORED] * len(documents)
        try:
            answer = orjson.loads(answer.encode())
        except orjson.JSONDecodeError:
            return [_NOT_UNDERSTOOD] * len(documents)
    items = answer.get("items") if isinstance(answer, dict) else None
    if not isinstance(items, list) or len(items) != len(documents):
        return [_NOT_UNDERSTOOD] * len(documents)
    return [_judge(item, document, action) for item, document in zip(items, documents, strict=True)]


def _all_created(documents: Sequence[Document]) -> str:
    """OpenSearch's answer when it stored each document where it should."""
    start = f'{{"create":{{"_index":"{documents[0].partition}","_id":"'
    end = '","status":201}}'
    return f'{{"errors":false,"items":[{start}{f"{end},{start}".join([id_ for id_, _, _ in documents])}{end}]}}'


def _body(documents: Sequence[Document], action: Action) -> bytes:
    parts: list[bytes] = []
    more = ',"version":1,"version_type":"external_gte"' if action == "index" else ""
    for id_, _, raw in documents:
        parts += (f'{{"{action}":{{"_id":"{id_}"{more}}}}}'.encode(), raw)
    parts.append(b"")
    return b"\n".join(parts)


def _cause_of_all(error: Any) -> Cause:
    """The cause of a request that failed as a whole; a 400 may also come from a proxy."""
    return "request" if error.status_code == 400 and _is_opensearch(error) else _cause_of(error.status_code)


def _is_opensearch(error: Any) -> bool:
    """Whether the error comes from the bulk handler rather than from a proxy or another server."""
    return isinstance(error.info, dict) and isinstance(error.info.get("error"), dict)


def _judge(item: Any, document: Document, action: Action) -> Verdict:
    try:
        return _judged(item, document, action)
    except FOREIGN:
        return Verdict("wait", "an item of the answer was not understood", "answer")


def _judged(item: Any, document: Document, action: Action) -> Verdict:
    # the Security plugin turns the replacement of a document of an immutable index into its creation
    result = (item.get(action) or item.get("create")) if isinstance(item, dict) else None
    if not isinstance(result, dict):
        return Verdict("wait", "an item of the answer was not understood", "answer")
    status, error = result.get("status"), result.get("error")
    kind, why = _words_of(error)
    refused = kind in _REFUSED or (kind == "illegal_argument_exception" and why.startswith(_IMMENSE, len(kind) + 2))
    exists = status == 409 and kind in ("", "version_conflict_engine_exception")
    stored = exists or (status == 201 and error is None)
    if action == "index" and not stored:
        stored = (error is None and result.get("result") == "updated") or kind == _IRREPLACEABLE
    if (stored or refused) and (misplaced := _misplaced(result, document)):
        return Verdict("wait", misplaced, "configuration")
    if stored:
        return _EXISTS if exists and action == "create" else STORED
    if status == 200 and error is None:
        return Verdict("wait", _dropped(document), "configuration")
    return Verdict("refused", why) if refused else Verdict("wait", why, _cause_of(status, kind))


def _misplaced(result: dict[str, Any], document: Document) -> str:
    """Where the document was stored instead of under its ID in its partition; empty if it was stored there."""
    index, id_ = result.get("_index", document.partition), result.get("_id", document.id)
    if (index, id_) == (document.partition, document.id):
        return ""
    where = f"in the index {str(index)[:100]}" if index != document.partition else f"under the ID {str(id_)[:100]}"
    return (
        f"OpenSearch put an entry for {document.partition} {where}: remove the alias with that name, or the "
        "index.final_pipeline, that causes this, and the stored document"
    )


def _dropped(document: Document) -> str:
    return (
        f"OpenSearch answered 200 and did not store an entry for {document.partition}: remove the ingest pipeline that "
        "drops it (index.final_pipeline)"
    )


_BLOCKS = {"cluster_block_exception", "index_closed_exception", "index_not_found_exception"}
_FAILED_PIPELINE = "fail_processor_exception"


def _cause_of(status: object, error_type: str = "") -> Cause:
    if error_type in _BLOCKS:  # their status varies: 429 for a full disk, 403 for a read-only index
        return "blocked"
    if not isinstance(status, int):
        return "answer"
    if error_type == _FAILED_PIPELINE or (error_type and status == 400):
        return "configuration"
    if status == 429:
        return "throttled"
    if status == 413:
        return "too_large"
    if status in {401, 403}:
        return "no_rights"
    return "unavailable" if status >= 500 else "blocked"


def _words_of(error: Any) -> tuple[str, str]:
    """The type of an item's error, and OpenSearch's text about it."""
    if not isinstance(error, dict):
        return "", str(error or "OpenSearch gave no reason")[:300]
    kind, inner = error.get("type"), error.get("caused_by")
    about = f" ({inner.get('reason')})" if isinstance(inner, dict) else ""
    return str(kind or ""), f"{kind or ''}: {error.get('reason')}{about}"


def _words(error: Any) -> str:
    """OpenSearch's text; otherwise the kind of failure, without a proxy's HTML and without credentials."""
    words = str(getattr(error, "error", "") or type(error).__name__)
    if _is_opensearch(error) and isinstance(reason := error.info["error"].get("reason"), str):
        words = f"{words}: {reason}"
    return (words.splitlines() or [""])[0][:300]
