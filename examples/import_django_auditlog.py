"""Reads the table of django-auditlog and writes NDJSON that `whodid import` records.

From a copy of an SQLite database, or from the database of a Django project, which is only read:

    python examples/import_django_auditlog.py db.sqlite3 > old.ndjson
    DJANGO_SETTINGS_MODULE=shop.settings python examples/import_django_auditlog.py > old.ndjson

    whodid import old.ndjson --from django-auditlog --dry-run
    whodid import old.ndjson --from django-auditlog

The event types are the model and what happened to it, such as `invoice_updated`: declare them in your events.toml, or
rename them with `--type invoice_updated=…`. An entry without an actor is one of the system.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

ACTIONS = {0: "created", 1: "updated", 2: "deleted", 3: "accessed"}
SQL = """
SELECT log.id, kind.model, log.object_pk, log.object_repr, log.action, log.changes, log.actor_id, log.remote_addr,
       log.timestamp, log.cid, log.additional_data
FROM auditlog_logentry AS log JOIN django_content_type AS kind ON kind.id = log.content_type_id
WHERE log.id > {mark} ORDER BY log.id LIMIT 1000
"""


def rows(connection: Any, mark: str) -> Iterator[tuple[Any, ...]]:
    """All rows, a thousand at a time, so that a large table needs no memory; `mark` stands for a parameter in SQL."""
    last = 0
    while True:
        with closing(connection.cursor()) as cursor:
            cursor.execute(SQL.format(mark=mark), [last])
            found = cursor.fetchall()
        if not found:
            return
        yield from found
        last = found[-1][0]


def entry(row: tuple[Any, ...]) -> dict[str, Any]:
    """The row as `whodid import` reads it; what is empty is left out there."""
    _, model, target, name, action, changes, actor, address, time, cid, more = row
    changed = _json(changes) or {}
    pairs = {field: both for field, both in changed.items() if isinstance(both, list) and len(both) == 2}
    details = {"changes": {field: both for field, both in changed.items() if field not in pairs}}
    found = {
        "type": f"{model}_{ACTIONS.get(action, 'changed')}",
        "target": str(target),
        "target_name": name,
        "principal": "system" if actor is None else str(actor),
        "client_ip": None if actor is None else address,
        "creation_date": time if isinstance(time, str) else time.isoformat(),
        "correlation_id": cid,
        "before": {field: old for field, (old, _) in pairs.items()} or None,
        "after": {field: new for field, (_, new) in pairs.items()} or None,
    }
    if extra := _json(more):
        details |= extra if isinstance(extra, dict) else {"additional_data": extra}
    return {**found, "details": {key: value for key, value in details.items() if value != {}} or None}


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) and value else value


def main() -> None:
    if sys.argv[1:]:
        with closing(sqlite3.connect(f"{Path(sys.argv[1]).absolute().as_uri()}?mode=ro", uri=True)) as connection:
            write(rows(connection, "?"))
        return
    import django
    from django.db import connection as of_django

    django.setup()
    write(rows(of_django, "%s"))


def write(found: Iterator[tuple[Any, ...]]) -> None:
    for row in found:
        print(json.dumps(entry(row)))


if __name__ == "__main__":
    main()
