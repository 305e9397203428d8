"""The tampering: a copy of the demo's log, with one entry changed and every hash behind it made to fit.

What an administrator of the cluster could do by night. The chain of the copy is consistent; the signed checkpoints of
the real log are not impressed.
"""

from __future__ import annotations

from typing import Any

from whodid.cluster.connection import connect
from whodid.cluster.template import index_pattern, template_name
from whodid.entry import document_id
from whodid.integrity import entry_hash
from whodid.search import AuditClient, Filter
from whodid.settings import load_settings
from whodid.setup.setup import apply, plan

PREFIX = "whodid-tampered"


def tamper(config: str) -> str:
    """Makes the copy, and returns in words what was done: to the middle entry of the longest journal."""
    settings = load_settings(config)
    there = load_settings(config, index_prefix=PREFIX)
    client = connect(settings)
    apply(plan(client, there))
    with AuditClient(settings) as log:
        hits = list(log.hits(Filter.of(), [{"journal": "asc"}, {"seq": "asc"}]))
    journals: dict[str, list[dict[str, Any]]] = {}
    for hit in hits:
        journals.setdefault(hit["_source"]["journal"], []).append(hit)
    longest = max(journals.values(), key=len)
    changed = longest[len(longest) // 2]["_source"]["seq"]
    before = ""
    for hit in longest:
        entry = hit["_source"]
        if entry["seq"] == changed:
            entry["principal"] = "somebody else"
        if entry["seq"] > changed:
            entry["prev"] = before
        if entry["seq"] >= changed:
            entry["hash"] = before = entry_hash(entry)
    for hit in hits:
        entry = hit["_source"]
        name = hit["_index"].replace(settings.index_prefix, PREFIX, 1)
        client.index(index=name, id=document_id(entry["journal"], entry["seq"], entry["hash"]), body=entry)
    client.indices.refresh(index=index_pattern(there))
    return f"entry {changed} of journal {longest[0]['_source']['journal']} now says that somebody else did it"


def remove(config: str) -> None:
    """Takes the copy away again."""
    there = load_settings(config, index_prefix=PREFIX)
    client = connect(there)
    for name in client.indices.get(index=index_pattern(there)):
        client.indices.delete(index=name)
    client.indices.delete_index_template(name=template_name(there))
