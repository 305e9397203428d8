"""Indices: the calls on them that need no ISM, as whodid's setup and retention make them.

Answered as an OpenSearch 3.4.0 without plugins did: `recordings/indices.jsonl`.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from whodid.cluster.template import FIELD_TYPES, MARK

from .answers import Answer, error
from .jobs import READ_ONLY, Index

__all__ = ["FLOOD_STAGE", "index_call", "matching", "must_be_new", "must_exist", "refuse_settings"]

FLOOD_STAGE = "index.blocks.read_only_allow_delete"

_ISM_SETTING = "index.plugins.index_state_management.policy_id"


def matching(indices: dict[str, Index], expression: str) -> list[Index]:
    patterns = expression.split(",")
    return [one for name, one in indices.items() if any(fnmatchcase(name, each) for each in patterns)]


def _mapping(index: Index) -> dict[str, Any]:
    """An index with whodid's mark was made under its template."""
    mapping = {"_meta": index.mark} if index.mark else {}
    ours = (index.mark or {}).get("managed_by") == MARK["managed_by"]
    return mapping | ({"dynamic": "strict", "properties": FIELD_TYPES} if ours else {})


def must_exist(indices: dict[str, Index], expression: str) -> None:
    """A name that is no pattern must be there; a pattern may match nothing."""
    for name in expression.split(","):
        if "*" not in name and name not in indices:
            where: dict[str, Any] = {
                "index": name,
                "resource.id": name,
                "resource.type": "index_or_alias",
                "index_uuid": "_na_",
            }
            raise error(404, "index_not_found_exception", f"no such index [{name}]", **where)


def must_be_new(indices: dict[str, Index], name: str) -> None:
    if name in indices:
        uuid = indices[name].uuid
        reason = f"index [{name}/{uuid}] already exists"
        raise error(400, "resource_already_exists_exception", reason, index=name, index_uuid=uuid)


def refuse_settings(settings: dict[str, Any]) -> None:
    """Without the plugin its setting is unknown."""
    if _ISM_SETTING in settings:
        reason = (
            f"unknown setting [{_ISM_SETTING}] please check that any required plugins are installed, or check the "
            "breaking changes documentation for removed settings"
        )
        raise error(400, "settings_exception", reason)


def index_call(
    indices: dict[str, Index], method: str, path: list[str], query: dict[str, str], body: Any = None
) -> Answer | None:
    """None: there is no such call."""
    expression = (path[2] if len(path) > 2 else "*") if path[0] == "_cat" else path[0]
    if method == "HEAD":
        return (200 if expression in indices else 404), None
    if query.get("ignore_unavailable") != "true":
        must_exist(indices, expression)
    found = matching(indices, expression)
    told = _told(found, path, query) if method in {"GET", "POST"} else None
    return told or _changed(indices, found, method, path, body or {})


def _told(found: list[Index], path: list[str], query: dict[str, str]) -> Answer | None:
    match path:
        case ["_cat", *_]:
            return 200, _listed(found, query)
        case [_, "_mapping"]:
            return 200, {one.name: {"mappings": _mapping(one)} for one in found}
        case [_, "_settings", *names]:
            return 200, {one.name: {"settings": _settings(one, query, ",".join(names).split(","))} for one in found}
        case [_, "_refresh"]:
            return 200, {"_shards": {"total": 1, "successful": 1, "failed": 0}}
        case [_, "_recovery"]:
            kinds = {one.name: "SNAPSHOT" if one.restored else "EXISTING_STORE" for one in found if one.open}
            return 200, {name: {"shards": [{"id": 0, "primary": True, "type": kind}]} for name, kind in kinds.items()}
        case [_, "_count"]:
            shards = {"total": len(found), "successful": len(found), "skipped": 0, "failed": 0}
            return 200, {"count": sum(one.entries for one in found), "_shards": shards}
    return None


def _changed(
    indices: dict[str, Index], found: list[Index], method: str, path: list[str], body: dict[str, Any]
) -> Answer | None:
    done: dict[str, Any] = {"acknowledged": True}
    _refuse_blocked(found, method, path, body)
    match method, path:
        case "DELETE", [_]:
            for one in found:
                del indices[one.name]
        case "PUT", [_, "_mapping"]:
            for one in found:
                one.mark = body.get("_meta", one.mark)
        case "PUT", [_, "_settings"]:
            for one in found:
                merged = one.settings | {name: _text(value) for name, value in body.items()}
                one.settings = {name: value for name, value in merged.items() if value is not None}
        case "POST", [_, "_open"]:
            done["shards_acknowledged"] = True
            for one in found:
                one.open = True
        case "POST", [_, "_close"]:
            done |= {"shards_acknowledged": True, "indices": {one.name: {"closed": True} for one in found}}
            for one in found:
                one.open = False
                if one.job:
                    one.job.forget()
        case _:
            return None
    return 200, done


def _text(value: Any) -> str | None:
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)


_BLOCKS = {
    READ_ONLY: (403, "FORBIDDEN/5/index read-only (api)"),
    "index.blocks.metadata": (403, "FORBIDDEN/9/index metadata (api)"),
    FLOOD_STAGE: (
        429,
        "TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has read-only-allow-delete block",
    ),
}
"""What refuses a change of mapping or settings, with which words; only a block itself may then be changed, alone."""


def _refuse_blocked(found: list[Index], method: str, path: list[str], body: dict[str, Any]) -> None:
    if method == "DELETE":
        names = [name for name in _BLOCKS if name != FLOOD_STAGE]
    elif path[1:] == ["_mapping"] or (path[1:] == ["_settings"] and not (len(body) == 1 and body.keys() & _BLOCKS)):
        names = list(_BLOCKS)
    else:
        return
    for one in found:
        for status, words in (_BLOCKS[name] for name in names if one.settings.get(name) == "true"):
            raise error(status, "cluster_block_exception", f"index [{one.name}] blocked by: [{words}];")


def _settings(index: Index, query: dict[str, str], names: list[str]) -> dict[str, Any]:
    """Those that whodid reads."""
    created = str(index.created)
    if query.get("flat_settings", "false") == "false":
        return {"index": {"creation_date": created}}
    every = {"index.creation_date": created, "index.uuid": index.uuid, **index.settings}
    return {name: value for name, value in every.items() if name in names or not any(names)}


def _listed(found: list[Index], query: dict[str, str]) -> list[dict[str, str]]:
    rows = [
        {
            "health": one.health,
            "status": "open" if one.open else "close",
            "index": one.name,
            "uuid": one.uuid,
            "pri": "1",
            "rep": "1",
            "docs.count": str(one.entries),
            "docs.deleted": "0",
            "store.size": "208b",
            "pri.store.size": "208b",
        }
        for one in found
    ]
    columns = query["h"].split(",") if "h" in query else None
    return [{key: row[key] for key in columns or row} for row in rows]
