"""The visualizations: a row of numbers, entries and failures over time, and tables of who, what and from where.

A table's columns are its buckets and then its metrics, in the order of the list. The name of a person or thing is its
newest name (a `top_hits` metric): as a bucket it would split the counts of those whose name changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ...settings import Settings
from .saved_object import EVERYTHING, QUESTIONS, SavedObject, dql, over_entries, titled

__all__ = ["visualizations"]

_TOP = 10
_COUNTED = "Entries"


class Part(NamedTuple):
    """One aggregation; `width` is that of its column in pixels, 0 for automatic."""

    kind: str
    schema: str
    params: Mapping[str, Any]
    width: int = 0


def _values(
    field: str, label: str, width: int = 0, *, schema: str = "bucket", by: str = "1", other: str = "", none: str = ""
) -> Part:
    """The most frequent values, or those highest in metric `by`; `other` and `none` label other and missing ones."""
    params = {
        "field": field,
        "orderBy": by,
        "order": "desc",
        "size": _TOP,
        "otherBucket": bool(other),
        "otherBucketLabel": other or "Other",
        "missingBucket": bool(none),
        "missingBucketLabel": none or "Missing",
        "customLabel": label,
    }
    return Part("terms", schema, params, width)


def _newest(field: str, label: str = "Name") -> Part:
    params = {"field": field, "aggregate": "concat", "size": 1, "sortField": "@timestamp", "sortOrder": "desc"}
    return Part("top_hits", "metric", {**params, "customLabel": label})


def _distinct(field: str, label: str) -> Part:
    return Part("cardinality", "metric", {"field": field, "customLabel": label}, 130)


def _count(label: str = _COUNTED) -> Part:
    return Part("count", "metric", {"customLabel": label}, 110)


_ID, _ADDRESS = 320, 330
"""The width in pixels of a UUID, and of the longest IPv6 address."""

_PRINCIPAL = _values("principal", "Principal", _ID)
_TARGET = _values("target", "Target", _ID)
_CLIENT_IP = _values("client_ip", "Client IP", _ADDRESS)
_PRINCIPAL_NAME = _newest("principal_name")
_TARGET_NAME = _newest("target_name")
_TYPE = _values("type", "Type", 240)

_TABLES: Mapping[str, tuple[str, str, Sequence[Part]]] = {
    "event-types": ("event types", EVERYTHING, (_values("type", "Type"), _count())),
    "top-principals": ("top principals", EVERYTHING, (_PRINCIPAL, _PRINCIPAL_NAME, _count())),
    "top-targets": (
        "top targets",
        EVERYTHING,
        (_TARGET, _TARGET_NAME, _newest("target_type", "Resource"), _count()),
    ),
    "client-ips": ("client IPs", EVERYTHING, (_CLIENT_IP, _distinct("principal", "Principals"), _count())),
    "sign-in-methods": (
        "sign-ins by method",
        "sign-ins",
        (_values("status", "Method"), _values("outcome", "Outcome", none="not given"), _count()),
    ),
    "failed-sign-ins-from": (
        "failed sign-ins by address and target",
        "failed-sign-ins",
        (_CLIENT_IP, _TARGET, _TARGET_NAME, _count()),
    ),
    "principals-per-address": (
        "sign-ins: principals per address",
        "sign-ins",
        (
            _values("client_ip", "Client IP", _ADDRESS, by="3"),
            _distinct("principal", "Principals"),
            _distinct("target", "Targets"),
            _count(),
        ),
    ),
    "failing-principals": (
        "failures by principal and type",
        "failures",
        (_PRINCIPAL, _TYPE, _PRINCIPAL_NAME, _count()),
    ),
    "rights-by": ("changes of rights, by whom", "rights", (_PRINCIPAL, _TYPE, _PRINCIPAL_NAME, _count())),
    "deletions-by": ("deletions, by whom", "deletions", (_PRINCIPAL, _TYPE, _PRINCIPAL_NAME, _count())),
    "credentials-by": (
        "credentials accessed, by whom",
        "credentials-access",
        (
            _PRINCIPAL,
            _values("on_behalf_of", "On behalf of", _ID, none="nobody"),
            _PRINCIPAL_NAME,
            _distinct("target", "Credentials"),
            _count(),
        ),
    ),
    "on-behalf-of": (
        "on whose behalf",
        "on-behalf",
        (_values("on_behalf_of", "On behalf of", _ID), _PRINCIPAL, _PRINCIPAL_NAME, _count()),
    ),
}
"""Name → title, the question whose entries it counts, and its columns."""

_NUMBERS = {
    "Entries": EVERYTHING,
    "Failures": "failures",
    "Failed sign-ins": "failed-sign-ins",
    "Deletions": "deletions",
    "Credentials accessed": "credentials-access",
}

_BY_TYPE_OVER_TIME = (
    _count(),
    _values("type", "Type", schema="group", other="Other"),
    Part(
        "date_histogram",
        "segment",
        {
            "field": "@timestamp",
            "useNormalizedOpenSearchInterval": True,
            "scaleMetricValues": False,
            "interval": "auto",
            "drop_partials": False,
            "min_doc_count": 1,
            "extended_bounds": {},
            "customLabel": "",
        },
    ),
)
"""The type comes first, so that there are ten types for the whole chart, and not another ten in each bar."""

_ORGANIZATIONS = (
    _count(),
    _values("organization_name", "Organization", schema="segment", other="Other", none="No organization"),
)


def visualizations(settings: Settings) -> tuple[SavedObject, ...]:
    """All visualizations."""

    def of(name: str, title: str, question: str, kind: str, parts: Sequence[Part], params: Any) -> SavedObject:
        return _visualization(settings, name, title, question, kind, parts, params)

    return (
        of("numbers", "numbers", EVERYTHING, "metric", (_count("count"), _numbers()), _METRIC),
        of("over-time", "entries over time by type", EVERYTHING, "histogram", _BY_TYPE_OVER_TIME, _HISTOGRAM),
        of("failures-over-time", "failures over time by type", "failures", "histogram", _BY_TYPE_OVER_TIME, _HISTOGRAM),
        of("organizations", "entries by organization", EVERYTHING, "pie", _ORGANIZATIONS, _PIE),
        *(of(name, title, question, "table", parts, _TABLE) for name, (title, question, parts) in _TABLES.items()),
    )


def _visualization(
    settings: Settings,
    name: str,
    title: str,
    question: str,
    kind: str,
    parts: Sequence[Part],
    params: Mapping[str, Any],
) -> SavedObject:
    title = titled(settings, title)
    state = {"title": title, "type": kind, "aggs": _aggregations(parts), "params": params}
    attributes = {"title": title, "description": "", "uiStateJSON": _ui_state(kind, parts), "visState": state}
    return over_entries(settings, "visualization", name, attributes, {"query": dql(QUESTIONS[question].query)})


def _aggregations(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """The count has ID 1, by which values are ordered; the other aggregations are numbered from 2."""
    return [
        {
            "id": "1" if part.kind == "count" else str(place),
            "enabled": True,
            "type": part.kind,
            "schema": part.schema,
            "params": part.params,
        }
        for place, part in enumerate(parts, 2)
    ]


def _ui_state(kind: str, parts: Sequence[Part]) -> dict[str, Any]:
    if kind == "table":
        widths = [{"colIndex": index, "width": part.width} for index, part in enumerate(parts) if part.width]
        return {"vis": {"columnsWidth": widths}}
    return {"vis": {"colors": {"Other": "#d3dae6"}}} if kind == "histogram" else {}


def _numbers() -> Part:
    filters = [{"input": dql(QUESTIONS[name].query), "label": label} for label, name in _NUMBERS.items()]
    return Part("filters", "group", {"filters": filters})


_METRIC: Mapping[str, Any] = {
    "addTooltip": True,
    "addLegend": False,
    "type": "metric",
    "metric": {
        "percentageMode": False,
        "useRanges": False,
        "colorSchema": "Green to Red",
        "metricColorMode": "None",
        "colorsRange": [{"from": 0, "to": 10000}],
        "labels": {"show": True},
        "invertColors": False,
        "style": {"bgFill": "#000", "bgColor": False, "labelColor": False, "subText": "", "fontSize": 40},
    },
}

_TABLE: Mapping[str, Any] = {
    "perPage": _TOP,
    "showPartialRows": False,
    "showMetricsAtAllLevels": False,
    "showTotal": False,
    "totalFunc": "sum",
    "percentageCol": "",
}

_PIE: Mapping[str, Any] = {
    "type": "pie",
    "addTooltip": True,
    "addLegend": True,
    "legendPosition": "right",
    "isDonut": True,
    "labels": {"show": False, "values": True, "last_level": True, "truncate": 100},
}

_HISTOGRAM: Mapping[str, Any] = {
    "type": "histogram",
    "grid": {"categoryLines": False},
    "categoryAxes": [
        {
            "id": "CategoryAxis-1",
            "type": "category",
            "position": "bottom",
            "show": True,
            "style": {},
            "scale": {"type": "linear"},
            "labels": {"show": True, "filter": True, "truncate": 100},
            "title": {},
        }
    ],
    "valueAxes": [
        {
            "id": "ValueAxis-1",
            "name": "LeftAxis-1",
            "type": "value",
            "position": "left",
            "show": True,
            "style": {},
            "scale": {"type": "linear", "mode": "normal"},
            "labels": {"show": True, "rotate": 0, "filter": False, "truncate": 100},
            "title": {"text": _COUNTED},
        }
    ],
    "seriesParams": [
        {
            "show": True,
            "type": "histogram",
            "mode": "stacked",
            "data": {"label": _COUNTED, "id": "1"},
            "valueAxis": "ValueAxis-1",
        }
    ],
    "addTooltip": True,
    "addLegend": True,
    "legendPosition": "right",
    "times": [],
    "addTimeMarker": False,
    "labels": {"show": False},
    "thresholdLine": {"show": False, "value": 10, "width": 1, "style": "full", "color": "#E7664C"},
}
