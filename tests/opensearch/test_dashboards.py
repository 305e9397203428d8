"""The objects for Dashboards: what they hold, what they refer to, and how the fields of an entry are shown."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from typing import Any

import pytest

from tests.opensearch.dql import dql_query
from whodid.entry import FIELDS, PLATFORM_FIELDS, TARGET_KEYS
from whodid.errors import SettingsError
from whodid.settings import Settings
from whodid.setup.dashboards import SavedObject, check_tab_url, ndjson, saved_objects
from whodid.setup.dashboards.saved_object import QUESTIONS

OBJECTS = saved_objects(Settings())
LINKED = saved_objects(Settings(), "https://audit.example/logs")
USABLE = {
    "terms": {"keyword", "ip"},
    "date_histogram": {"date_nanos"},
    "cardinality": {"keyword", "ip"},
    "top_hits": {"keyword"},
}


def lines(objects: tuple[SavedObject, ...] = OBJECTS) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ndjson(objects).splitlines()]


def of_type(kind: str, objects: tuple[SavedObject, ...] = OBJECTS) -> list[SavedObject]:
    return [one for one in objects if one.type == kind]


def name(one: SavedObject) -> str:
    return one.id.removeprefix("whodid-audit.")


def source(one: SavedObject) -> Any:
    return one.attributes["kibanaSavedObjectMeta"]["searchSourceJSON"]


def charts(kind: str = "") -> list[tuple[SavedObject, Any]]:
    """The visualizations that ask something, with their states."""
    states = [(one, one.attributes["visState"]) for one in of_type("visualization")]
    return [(one, state) for one, state in states if state["aggs"] and kind in {"", state["type"]}]


def texts(objects: tuple[SavedObject, ...] = OBJECTS) -> dict[str, str]:
    states = {name(one): one.attributes["visState"] for one in of_type("visualization", objects)}
    return {key: state["params"]["markdown"] for key, state in states.items() if state["type"] == "markdown"}


def pattern(objects: tuple[SavedObject, ...] = OBJECTS) -> Any:
    [found] = of_type("index-pattern", objects)
    return found.attributes


def queries() -> list[str]:
    asked = [source(one)["query"] for one in OBJECTS if one.type != "index-pattern"]
    for _, state in charts("metric"):
        asked += [each["input"] for each in state["aggs"][1]["params"]["filters"]]
    assert {each["language"] for each in asked} == {"kuery"}
    return [each["query"] for each in asked]


# What the objects hold


def test_there_are_an_index_pattern_searches_charts_texts_and_three_dashboards() -> None:
    assert [name(one) for one in of_type("index-pattern")] == ["entries"]
    assert [name(one) for one in of_type("search")] == [
        "all-entries",
        "sign-ins",
        "failed-sign-ins",
        "failures",
        "rights",
        "deletions",
        "credentials-access",
        "on-behalf",
    ]
    dashboards = ["overview", "sign-ins-and-failures", "changes-and-deletions"]
    assert [name(one) for one in of_type("dashboard")] == dashboards
    assert list(texts()) == [f"{each}-text" for each in dashboards]
    assert len({one.id for one in OBJECTS}) == len(OBJECTS)


def test_each_object_has_the_form_that_a_real_dashboards_took() -> None:
    versions = {"index-pattern": "7.6.0", "search": "7.9.3", "visualization": "7.10.0", "dashboard": "7.9.3"}
    for line in lines():
        assert list(line) == ["id", "type", "attributes", "references", "migrationVersion"]
        assert line["migrationVersion"] == {line["type"]: versions[line["type"]]}


def test_attributes_that_dashboards_wants_as_text_are_text_that_holds_json() -> None:
    texts = {"searchSourceJSON", "visState", "uiStateJSON", "panelsJSON", "optionsJSON"}
    texts |= {"fields", "fieldFormatMap", "sourceFilters"}
    seen = set()
    for line in lines():
        for attributes in (line["attributes"], line["attributes"].get("kibanaSavedObjectMeta", {})):
            for each in texts & set(attributes):
                assert isinstance(attributes[each], str)
                json.loads(attributes[each])
                seen.add(each)
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
            used = {source(one)["indexRefName"]} if "indexRefName" in source(one) else set()
            assert used or one.attributes["visState"]["type"] == "markdown"
        elif one.type == "dashboard":
            used = {panel["panelRefName"] for panel in one.attributes["panelsJSON"]}
        assert {reference["name"] for reference in one.references} == used


def test_each_query_is_in_dql_and_names_fields_of_an_entry() -> None:
    for query in queries():
        dql_query(query)
        assert set(re.findall(r"([\w@.]+):", query)) <= set(FIELDS)


def test_a_search_shows_the_outcome_and_names_beside_the_platform_s_fields() -> None:
    for one in of_type("search"):
        columns = one.attributes["columns"]
        assert one.attributes["sort"] == [["@timestamp", "desc"]]
        assert set(columns) - set(PLATFORM_FIELDS) == {"outcome", "principal_name", "target_name"}
        assert {FIELDS[each].kind for each in columns} == {"keyword", "ip"}


def test_each_field_that_is_counted_is_in_the_mapping_with_a_type_that_serves() -> None:
    for _, state in charts():
        for each in state["aggs"]:
            if each["type"] not in {"count", "filters"}:
                assert FIELDS[each["params"]["field"]].kind in USABLE[each["type"]]


def test_each_chart_is_ordered_by_a_metric_of_its_own_and_uses_schemas_of_its_kind() -> None:
    schemas = {
        "metric": {"metric", "group"},
        "histogram": {"metric", "segment", "group"},
        "pie": {"metric", "segment"},
        "table": {"metric", "bucket"},
    }
    for one, state in charts():
        assert state["title"] == one.attributes["title"]
        assert {each["schema"] for each in state["aggs"]} == schemas[state["type"]]
        metrics = {each["id"]: each["type"] for each in state["aggs"] if each["schema"] == "metric"}
        assert metrics["1"] == "count"
        assert len({each["id"] for each in state["aggs"]}) == len(state["aggs"])
        for each in state["aggs"]:
            assert each["type"] != "terms" or each["params"]["orderBy"] in metrics


def test_over_time_the_type_is_the_outer_bucket_so_there_are_ten_colours_and_other() -> None:
    for _, state in charts("histogram"):
        _, by_type, by_time = state["aggs"]
        assert (by_type["type"], by_type["schema"], by_type["params"]["field"]) == ("terms", "group", "type")
        assert (by_type["params"]["size"], by_type["params"]["otherBucket"]) == (10, True)
        assert (by_time["type"], by_time["schema"]) == ("date_histogram", "segment")
        assert "timeRange" not in by_time["params"]


def test_a_name_is_a_metric_so_that_a_changed_name_divides_no_count() -> None:
    for _, state in charts("table"):
        for each in state["aggs"]:
            assert (each["params"].get("field") in {"principal_name", "target_name"}) <= (each["type"] == "top_hits")
        of = {each["params"].get("field"): each["type"] for each in state["aggs"]}
        assert (of.get("principal") == "terms") <= ("principal_name" in of)
        assert (of.get("target") == "terms") <= ("target_name" in of)


def test_columns_of_ids_and_addresses_are_wide_enough_and_come_before_the_metrics() -> None:
    for one, state in charts("table"):
        schemas = [each["schema"] for each in state["aggs"]]
        assert schemas == sorted(schemas)  # Dashboards moves metrics behind buckets, which would move the widths
        assert list(one.attributes["uiStateJSON"]["vis"]) == ["columnsWidth"]
        widths = {each["colIndex"]: each["width"] for each in one.attributes["uiStateJSON"]["vis"]["columnsWidth"]}
        for index, each in enumerate(state["aggs"]):
            if each["type"] == "terms" and each["params"]["field"] in {"principal", "target", "client_ip"}:
                assert widths[index] >= 320


@pytest.mark.parametrize(
    ("question", "own"),
    [
        ("sign-ins", "admin_sign_in"),
        ("failures", "invoice_payment_failed"),
        ("deletions", "invoice_removed"),
        ("deletions", "audit_log_dead_letters_dropped"),
        ("rights", "invoice_role_updated"),
    ],
)
def test_types_of_an_application_s_own_are_found_by_how_they_are_called(question: str, own: str) -> None:
    _, _, named = QUESTIONS[question].query.partition("type:")
    assert any(fnmatchcase(own, word) for word in re.findall(r"[\w*]+", named))
    assert not any(fnmatchcase("invoice_paid", word) for word in re.findall(r"[\w*]+", named))


# The index pattern


def test_the_index_pattern_lists_the_fields_as_dashboards_does() -> None:
    fields = {each["name"]: each for each in pattern()["fields"]}
    listed = {name for name, field in FIELDS.items() if field.kind not in {"stored", "objects"}}
    assert set(fields) == listed | {f"targets.{key}" for key in TARGET_KEYS} | {"_id", "_index", "_source"}
    seen = {
        "@timestamp": ("date", "date_nanos", True, True, True),
        "_id": ("string", "_id", True, True, False),
        "_source": ("_source", "_source", False, False, False),
        "client_ip": ("ip", "ip", True, True, True),
        "creation_date": ("date", "date", True, True, True),
        "details": ("unknown", "flat_object", True, False, False),
        "principal": ("string", "keyword", True, True, True),
        "seq": ("number", "long", True, True, True),
        "targets.id": ("string", "keyword", True, True, True),
    }
    for each, (kind, mapping, searchable, aggregatable, doc_values) in seen.items():
        assert fields[each] == {
            "name": each,
            "type": kind,
            "esTypes": [mapping],
            "searchable": searchable,
            "aggregatable": aggregatable,
            "readFromDocValues": doc_values,
            "count": 0,
            "scripted": False,
        }


def test_what_is_only_stored_is_hidden() -> None:
    stored = [name for name, field in FIELDS.items() if field.kind == "stored"]
    hidden = [each["value"] for each in pattern()["sourceFilters"]]
    assert hidden == [value for each in stored for value in (each, f"{each}.*")]


def test_a_failure_and_what_is_no_person_are_coloured_and_a_position_has_no_separators() -> None:
    formats = pattern()["fieldFormatMap"]
    assert set(formats) == {"outcome", "principal_type", "seq"}
    for name, coloured in {"outcome": ["failure"], "principal_type": ["service", "api_key", "agent", "system"]}.items():
        [rule] = formats[name]["params"]["colors"]
        assert [value for value in FIELDS[name].values if re.search(rule["regex"], value)] == coloured
    assert formats["seq"] == {"id": "number", "params": {"pattern": "0"}}


def test_with_the_address_of_the_tab_an_entry_s_id_is_a_link_to_it_and_a_column() -> None:
    assert pattern(LINKED)["fieldFormatMap"]["_id"] == {
        "id": "url",
        "params": {
            "urlTemplate": "https://audit.example/logs/entries/{{value}}",
            "labelTemplate": "{{value}}",
            "openLinkInCurrentTab": False,
        },
    }
    assert {one.attributes["columns"][-1] for one in of_type("search", LINKED)} == {"_id"}
    assert all("[the Audit logs tab](https://audit.example/logs/)" in text for text in texts(LINKED).values())


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://audit.example", "use https://"),
        ("audit.example", "--tab-url must hold URLs such as https://audit.example"),
        ("https://anna:hunter2@audit.example", "must not contain a password"),
        ("https://audit.example/?q=1", "must be the plain address"),
        ("https://audit.example/#x", "must be the plain address"),
        ("https://audit.example/)[x](y", "must be the plain address"),
        ("https://audit.example/{{value}}", "must be the plain address"),
        ("https://audit.example/<b>", "must be the plain address"),
        ("https://audit.example/a b", "must be the plain address"),
    ],
)
def test_an_address_of_the_tab_that_would_break_a_link_is_refused(url: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as raised:
        check_tab_url(url)
    assert "hunter2" not in str(raised.value)


def test_values_are_shown_as_text() -> None:
    """These formats escape a value; a URL of the type `img` or `audio` would fetch what a name holds."""
    for each in pattern(LINKED)["fieldFormatMap"].values():
        assert each["id"] in {"color", "number", "url"}
        assert "type" not in each["params"]
    assert not any("<" in text for text in texts(LINKED).values())


# The dashboards


@pytest.mark.parametrize("one", of_type("dashboard"), ids=name)
def test_a_dashboard_restores_its_time_and_begins_with_a_text(one: SavedObject) -> None:
    attributes = one.attributes
    assert (attributes["timeRestore"], attributes["timeFrom"], attributes["timeTo"]) == (True, "now-30d", "now")
    assert one.references[0]["id"] == f"{one.id}-text"
    assert attributes["panelsJSON"][0]["gridData"]["y"] == 0


@pytest.mark.parametrize("one", of_type("dashboard"), ids=name)
def test_the_panels_fill_the_grid_of_48_columns_and_none_lies_on_another(one: SavedObject) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in one.attributes["panelsJSON"]:
        place = panel["gridData"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        taken |= cells
    assert taken == {(x, y) for x in range(48) for y in range(1 + max(y for _, y in taken))}


@pytest.mark.parametrize("one", of_type("dashboard"), ids=name)
def test_headings_have_no_prefix_and_tables_are_high_enough_for_ten_rows(one: SavedObject) -> None:
    kinds = {each.id: state["type"] for each, state in charts()}
    for panel, reference in zip(one.attributes["panelsJSON"], one.references, strict=True):
        assert panel["title"] == panel["embeddableConfig"]["title"]
        assert re.match(r"[A-Z][a-z]", panel["title"])
        if kinds.get(reference["id"]) == "table":
            assert panel["gridData"]["h"] >= 18


def test_every_chart_is_on_a_dashboard() -> None:
    shown = {reference["id"] for one in of_type("dashboard") for reference in one.references}
    assert {one.id for one in of_type("visualization")} <= shown


def test_the_row_of_numbers_counts_five_questions() -> None:
    [(_, state)] = charts("metric")
    filters = state["aggs"][1]["params"]["filters"]
    labels = ["Entries", "Failures", "Failed sign-ins", "Deletions", "Credentials accessed"]
    assert [each["label"] for each in filters] == labels


def test_each_text_says_what_is_not_checked_and_links_to_the_others_and_to_searches_with_a_time() -> None:
    ids = {one.type: {each.id for each in of_type(one.type)} for one in OBJECTS}
    linked = set()
    for key, text in texts().items():
        assert "checks no hash" in text
        assert "does not record who read what" in text
        dashboards = set(re.findall(r"\]\(dashboards#/view/([\w.-]+)\)", text))
        assert dashboards == ids["dashboard"] - {f"whodid-audit.{key.removesuffix('-text')}"}
        time = r"\?_g=\(time:\(from:now-30d,to:now\)\)\)"
        searches = set(re.findall(r"\]\(data-explorer/discover#/view/([\w.-]+)" + time, text))
        assert searches
        linked |= searches
        assert text.count("](") == len(dashboards) + len(searches)
    assert linked == ids["search"]


# Two installations in one Dashboards


@pytest.mark.parametrize(
    ("one", "other"), [("whodid-audit", "audit"), ("a", "a-top"), ("a", "a_overview"), ("a", "a-a")]
)
def test_two_prefixes_share_no_object(one: str, other: str) -> None:
    ours, theirs = (saved_objects(Settings(index_prefix=prefix)) for prefix in (one, other))
    assert not {each.id for each in ours} & {each.id for each in theirs}
    assert not {each.attributes["title"] for each in ours} & {each.attributes["title"] for each in theirs}


def test_the_prefix_is_all_in_which_two_installations_differ() -> None:
    theirs = saved_objects(Settings(index_prefix="zz-zz"))
    assert ndjson(theirs).replace("zz-zz", "whodid-audit") == ndjson(OBJECTS)
