"""The visualizations: entries over time by type, and the busiest principals, targets, organizations and addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...settings import Settings
from .saved_object import SavedObject, over_entries

__all__ = ["TIME_SPAN", "visualizations"]

TIME_SPAN = "now-30d"
"""Where the pictures begin until someone chooses another time; they end now."""

_TOP = 10
_COUNTED = "Entries"


def visualizations(settings: Settings) -> tuple[SavedObject, ...]:
    """All of them, by the order of their places on the dashboard."""
    return (
        _over_time(settings),
        _table(settings, "top-principals", "top principals", _terms("2", "bucket", "principal", "Principal")),
        _table(
            settings,
            "top-targets",
            "top targets",
            _terms("2", "bucket", "target", "Target"),
            _terms("3", "bucket", "target_type", "Resource"),
        ),
        _organizations(settings),
        _table(settings, "client-ips", "client IPs", _terms("2", "bucket", "client_ip", "Client IP")),
    )


def _visualization(
    settings: Settings,
    name: str,
    title: str,
    kind: str,
    buckets: Sequence[Mapping[str, Any]],
    params: Mapping[str, Any],
    ui_state: Mapping[str, Any],
) -> SavedObject:
    titled = f"{settings.index_prefix}: {title}"
    count = _aggregation("1", "count", "metric", {"customLabel": _COUNTED})
    state = {"title": titled, "type": kind, "aggs": [count, *buckets], "params": params}
    attributes = {"title": titled, "description": "", "uiStateJSON": ui_state, "visState": state}
    return over_entries(settings, "visualization", name, attributes, {"query": {"query": "", "language": "kuery"}})


def _aggregation(number: str, kind: str, schema: str, params: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": number, "enabled": True, "type": kind, "schema": schema, "params": params}


def _terms(number: str, schema: str, field: str, label: str, *, rest: bool = False, none: str = "") -> dict[str, Any]:
    """The most frequent values of a field; with `rest` what they leave out is shown too, `none` names absence."""
    params = {
        "field": field,
        "orderBy": "1",
        "order": "desc",
        "size": _TOP,
        "otherBucket": rest,
        "otherBucketLabel": "Other",
        "missingBucket": bool(none),
        "missingBucketLabel": none or "Missing",
        "customLabel": label,
    }
    return _aggregation(number, "terms", schema, params)


def _over_time(settings: Settings) -> SavedObject:
    by_time = {
        "field": "@timestamp",
        "timeRange": {"from": TIME_SPAN, "to": "now"},
        "useNormalizedOpenSearchInterval": True,
        "scaleMetricValues": False,
        "interval": "auto",
        "drop_partials": False,
        "min_doc_count": 1,
        "extended_bounds": {},
    }
    buckets = [
        _aggregation("2", "date_histogram", "segment", by_time),
        _terms("3", "group", "type", "Type", rest=True),
    ]
    title = "entries over time by type"
    return _visualization(settings, "over-time", title, "histogram", buckets, _HISTOGRAM, {})


def _table(settings: Settings, name: str, title: str, *buckets: Mapping[str, Any]) -> SavedObject:
    ui_state = {"vis": {"params": {"sort": {"columnIndex": None, "direction": None}}}}
    return _visualization(settings, name, title, "table", buckets, _TABLE, ui_state)


def _organizations(settings: Settings) -> SavedObject:
    slices = _terms("2", "segment", "organization_name", "Organization", rest=True, none="No organization")
    return _visualization(settings, "organizations", "entries by organization", "pie", [slices], _PIE, {})


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
            "drawLinesBetweenPoints": True,
            "lineWidth": 2,
            "showCircles": True,
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
