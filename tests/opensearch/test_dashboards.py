"""The objects for Dashboards: what they hold, what they refer to, and which event types the searches name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from whodid.catalog import Catalog
from whodid.entry import FIELDS
from whodid.opensearch.dashboards import SavedObject, ndjson, saved_objects
from whodid.settings import Settings

CATALOG = Catalog.load()
OBJECTS = saved_objects(Settings(), CATALOG)
SEED_COLUMNS = ["type", "target", "principal", "status", "organization_name", "workspace_name", "client_ip"]
USABLE = {"terms": {"keyword", "ip", "long", "date", "date_nanos"}, "date_histogram": {"date", "date_nanos"}}


def lines(objects: tuple[SavedObject, ...] = OBJECTS) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ndjson(objects).splitlines()]


def of_type(kind: str, objects: tuple[SavedObject, ...] = OBJECTS) -> list[SavedObject]:
    return [one for one in objects if one.type == kind]


def source(one: SavedObject) -> Any:
    return one.attributes["kibanaSavedObjectMeta"]["searchSourceJSON"]


def queries(catalog: Catalog) -> dict[str, str]:
    return {
        one.id.partition(".")[2]: source(one)["query"]["query"]
        for one in of_type("search", saved_objects(Settings(), catalog))
    }


def named(query: str, field: str) -> list[str]:
    """The values of a field that a query names, in its order."""
    found = re.search(rf"(?:^| ){field}:\(([^)]*)\)", query)
    return re.findall(r'"([^"]*)"', found[1]) if found else []


# What the objects hold


def test_there_is_an_index_pattern_five_searches_five_visualizations_and_a_dashboard() -> None:
    assert [one.id.removeprefix("whodid-audit.") for one in OBJECTS] == [
        "entries",
        "all-entries",
        "sign-ins",
        "credentials-access",
        "deletions",
        "failures",
        "over-time",
        "top-principals",
        "top-targets",
        "organizations",
        "client-ips",
        "overview",
    ]
    [pattern] = of_type("index-pattern")
    assert pattern.attributes == {"title": "whodid-audit-*", "timeFieldName": "@timestamp"}


def test_each_object_has_the_form_that_a_real_dashboards_took() -> None:
    versions = {"index-pattern": "7.6.0", "search": "7.9.3", "visualization": "7.10.0", "dashboard": "7.9.3"}
    for line in lines():
        assert list(line) == ["id", "type", "attributes", "references", "migrationVersion"]
        assert line["migrationVersion"] == {line["type"]: versions[line["type"]]}


def test_attributes_that_dashboards_wants_as_text_are_text_that_holds_json() -> None:
    texts = {"searchSourceJSON", "visState", "uiStateJSON", "panelsJSON", "optionsJSON"}
    seen = set()
    for line in lines():
        for attributes in (line["attributes"], line["attributes"].get("kibanaSavedObjectMeta", {})):
            for name in texts & set(attributes):
                assert isinstance(attributes[name], str)
                json.loads(attributes[name])
                seen.add(name)
    assert seen == texts


def test_each_object_comes_after_what_it_refers_to() -> None:
    known: set[tuple[str, str]] = set()
    for one in OBJECTS:
        for reference in one.references:
            assert (reference["type"], reference["id"]) in known
        known.add((one.type, one.id))


def test_each_named_reference_is_there_and_each_reference_is_used() -> None:
    for one in OBJECTS:
        used = set()
        if one.type in {"search", "visualization"}:
            used = {source(one)["indexRefName"]}
        elif one.type == "dashboard":
            used = {panel["panelRefName"] for panel in one.attributes["panelsJSON"]}
        assert [reference["name"] for reference in one.references] == sorted(used)


def test_each_field_that_is_named_is_in_the_mapping_with_a_type_that_serves() -> None:
    for one in of_type("search"):
        assert one.attributes["columns"] == SEED_COLUMNS
        assert one.attributes["sort"] == [["@timestamp", "desc"]]
        assert set(re.findall(r"([\w@.]+):", source(one)["query"]["query"])) <= set(FIELDS)
        assert {FIELDS[name].kind for name in SEED_COLUMNS} <= {"keyword", "ip"}
    for one in of_type("visualization"):
        for aggregation in one.attributes["visState"]["aggs"]:
            if aggregation["type"] != "count":
                field = FIELDS[aggregation["params"]["field"]]
                assert field.kind in USABLE[aggregation["type"]], field.name


def test_each_visualization_orders_by_its_own_count_and_uses_schemas_of_its_kind() -> None:
    schemas = {"histogram": ["metric", "segment", "group"], "pie": ["metric", "segment"], "table": ["metric", "bucket"]}
    for one in of_type("visualization"):
        state = one.attributes["visState"]
        assert state["title"] == one.attributes["title"]
        assert list(dict.fromkeys(each["schema"] for each in state["aggs"])) == schemas[state["type"]]
        assert [each["id"] for each in state["aggs"]] == ["1", "2", "3"][: len(state["aggs"])]
        assert all(each["params"]["orderBy"] == "1" for each in state["aggs"] if each["type"] == "terms")


def test_a_chart_of_the_whole_leaves_nothing_out() -> None:
    for one in of_type("visualization"):
        [*_, last] = one.attributes["visState"]["aggs"]
        whole = one.attributes["visState"]["type"] in {"histogram", "pie"}
        assert last["params"]["otherBucket"] is whole


def test_the_overview_shows_the_last_30_days_with_the_histogram_on_top_and_the_search_at_the_bottom() -> None:
    [dashboard] = of_type("dashboard")
    attributes = dashboard.attributes
    assert (attributes["timeRestore"], attributes["timeFrom"], attributes["timeTo"]) == (True, "now-30d", "now")
    places = {
        reference["id"].removeprefix("whodid-audit."): panel["gridData"]
        for reference, panel in zip(dashboard.references, attributes["panelsJSON"], strict=True)
    }
    assert places["over-time"]["y"] == 0
    assert places["all-entries"]["y"] == max(place["y"] for place in places.values())
    assert len({panel["panelIndex"] for panel in attributes["panelsJSON"]}) == len(places)


def test_the_panels_fill_the_grid_of_48_columns_and_none_lies_on_another() -> None:
    [dashboard] = of_type("dashboard")
    taken: set[tuple[int, int]] = set()
    for panel in dashboard.attributes["panelsJSON"]:
        place = panel["gridData"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        taken |= cells
    assert taken == {(x, y) for x in range(48) for y in range(1 + max(y for _, y in taken))}


# What the searches name


def test_searches_name_the_types_of_the_catalog_that_they_are_about() -> None:
    found = queries(CATALOG)
    by_event = {
        "sign-ins": {"login"},
        "credentials-access": {"access"},
        "deletions": {"delete", "remove", "drop"},
    }
    for name, events in by_event.items():
        assert named(found[name], "type") == sorted(
            kind.name for kind in CATALOG.types.values() if kind.event in events
        )
    assert named(found["failures"], "type") == ["studio_session_build_failed"]
    assert named(found["failures"], "status") == ["FAILED", "failed"]
    assert found["all-entries"] == ""


OWN = """
[resources.invoice]
label = "Invoices"
target = "the invoice's ID"
[types.invoice_removed]
resource = "invoice"
event = "remove"
about = "An invoice was removed."
[types.invoice_paid]
resource = "invoice"
event = "pay"
about = "An invoice was paid, or not."
status = ["paid", "Failed"]
"""


def test_an_application_s_own_types_are_found_too(tmp_path: Path) -> None:
    path = tmp_path / "events.toml"
    path.write_text(OWN)
    found = queries(Catalog.load(path))
    assert "invoice_removed" in named(found["deletions"], "type")
    assert "workflow_dropped" in named(found["deletions"], "type")
    assert named(found["failures"], "status") == ["FAILED", "Failed", "failed"]


def test_a_search_for_types_that_the_catalog_lacks_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "events.toml"
    path.write_text(OWN)
    alone = Catalog.load(path, mode="replace")
    assert list(queries(alone)) == ["all-entries", "deletions", "failures"]
    ids = {one.id for one in saved_objects(Settings(), alone)}
    assert {reference["id"] for one in saved_objects(Settings(), alone) for reference in one.references} < ids


# Two installations in one Dashboards


@pytest.mark.parametrize(
    ("one", "other"), [("whodid-audit", "audit"), ("a", "a-top"), ("a", "a_overview"), ("a", "a-a")]
)
def test_two_prefixes_share_no_object(one: str, other: str) -> None:
    ours, theirs = (saved_objects(Settings(index_prefix=prefix), CATALOG) for prefix in (one, other))
    assert not {each.id for each in ours} & {each.id for each in theirs}
    assert not {each.attributes["title"] for each in ours} & {each.attributes["title"] for each in theirs}


def test_the_prefix_is_all_in_which_two_installations_differ() -> None:
    theirs = saved_objects(Settings(index_prefix="zz-zz"), CATALOG)
    assert ndjson(theirs).replace("zz-zz", "whodid-audit") == ndjson(OBJECTS)
