"""What the official schemas say of an exported entry: `faults` of each standard, empty if there are none.

The schemas are in `schemas/`, whose README says where they are from. Nothing here knows how whodid maps a field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import jsonschema_rs
from google.protobuf.json_format import Parse, ParseError
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData, SeverityNumber

__all__ = [
    "CEF",
    "ECS",
    "OCSF",
    "cef_faults",
    "cloudevents_faults",
    "ecs_faults",
    "ocsf_faults",
    "otlp_faults",
    "parts",
]

_SCHEMAS = Path(__file__).with_name("schemas")


def _schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((_SCHEMAS / name).read_text())
    return found


ECS, OCSF = _schema("ecs-9.4.0.json"), _schema("ocsf-1.9.0-dev.json")
CEF, _OTEL = _schema("cef-27.json"), _schema("semantic-conventions-1.45.0.json")
_CLOUDEVENT = jsonschema_rs.Draft7Validator(_schema("cloudevents-1.0.2.json"), validate_formats=True)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)


def _is_time(value: object) -> bool:
    try:
        return _TIME.fullmatch(str(value)) is not None and datetime.fromisoformat(str(value)) is not None
    except ValueError:
        return False


def _is_address(value: object) -> bool:
    try:
        return ip_address(str(value)) is not None and "%" not in str(value)
    except ValueError:
        return False


# ECS

_OURS = re.compile(r"(whodid|labels)\..+", re.DOTALL)
_ECS_TYPES: dict[str, Callable[[object], bool]] = {
    "keyword": lambda value: isinstance(value, str),
    "wildcard": lambda value: isinstance(value, str),
    "long": lambda value: type(value) is int and -(2**63) <= value < 2**63,
    "ip": _is_address,
    "date": _is_time,
}


def ecs_faults(document: Mapping[str, Any]) -> list[str]:
    """Fields that the version does not have, values of another type, or ones that are not allowed."""
    faults = [] if document["ecs"]["version"] == "9.4.0" else ["ecs.version"]
    for name, value in _leaves(document):
        if _OURS.fullmatch(name):
            faults += [name] if name.startswith("labels.") and not isinstance(value, str) else []
            continue
        field = ECS.get(name)
        if field is None or field["array"] != isinstance(value, list) or value == []:
            faults.append(f"{name}: {'not in ECS' if field is None else 'an array, or none'}")
            continue
        for one in value if isinstance(value, list) else [value]:
            if not _ECS_TYPES[field["type"]](one) or one not in field.get("allowed", [one]):
                faults.append(f"{name}: {one!r}")
    expected = ECS["event.category"]["expected"]
    allowed = {kind for category in document["event"]["category"] for kind in expected[category]}
    return faults + [f"event.type: {kind}" for kind in document["event"]["type"] if kind not in allowed]


def _leaves(value: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, each in value.items():
        if isinstance(each, dict) and (path or name) != "whodid":
            yield from _leaves(each, f"{path}{name}.")
        else:
            yield f"{path}{name}" + (".…" if name == "whodid" else ""), each


# OCSF

_OCSF_TYPES: dict[str, type] = {
    "boolean_t": bool,
    "integer_t": int,
    "long_t": int,
    "timestamp_t": int,
    "object": dict,
}


def ocsf_faults(event: Mapping[str, Any]) -> list[str]:
    """What is unknown, missing, deprecated, of another type, not in its enumeration, or of a profile not named."""
    rules = OCSF["classes"][str(event["class_uid"])]
    faults = list(_object_faults(event, rules, set(event["metadata"]["profiles"]), "event"))
    if event["type_uid"] != event["class_uid"] * 100 + event["activity_id"]:
        faults.append("type_uid")
    return faults + ([] if OCSF["version"].startswith(event["metadata"]["version"]) else ["metadata.version"])


def _object_faults(value: Mapping[str, Any], rules: Any, profiles: set[str], path: str) -> Iterator[str]:
    attributes = rules["attributes"]
    if rules["deprecated"]:
        yield f"{path} is deprecated"
    for name, rule in attributes.items():
        applies = "profiles" not in rule or profiles & set(rule["profiles"])
        if rule.get("required") and applies and name not in value:
            yield f"{path}.{name} is missing"
    if rules["at_least_one"] and not set(rules["at_least_one"]) & set(value):
        yield f"{path} has none of {rules['at_least_one']}"
    for name, each in value.items():
        rule, where = attributes.get(name), f"{path}.{name}"
        if (
            rule is None
            or rule.get("deprecated")
            or not (profiles & set(rule.get("profiles", profiles)) or not profiles)
        ):
            yield f"{where} is unknown, deprecated or of a profile not named"
        elif rule.get("is_array", False) != isinstance(each, list) or each == []:
            yield f"{where} is an array, or none"
        else:
            for one in each if isinstance(each, list) else [each]:
                yield from _value_faults(one, rule, profiles, where)
            yield from _sibling_faults(value, name, rule, where)


def _value_faults(value: object, rule: Mapping[str, Any], profiles: set[str], path: str) -> Iterator[str]:
    kind = rule["type"]
    if kind in OCSF["objects"] and isinstance(value, dict):
        yield from _object_faults(value, OCSF["objects"][kind], profiles, path)
    elif type(value) is not _OCSF_TYPES.get(kind, str):
        yield f"{path}: {value!r} is no {kind}"
    elif "enum" in rule and str(value) not in rule["enum"]:
        yield f"{path}: {value!r} is not in the enumeration"
    elif kind in OCSF["patterns"] and not re.fullmatch(OCSF["patterns"][kind], str(value)):
        yield f"{path}: {value!r} is no {kind}"


def _sibling_faults(value: Mapping[str, Any], name: str, rule: Mapping[str, Any], path: str) -> Iterator[str]:
    """A label is the caption of its ID, or anything if the ID is 99, which needs one."""
    label = value.get(rule.get("sibling", ""))
    if value[name] == 99 and "sibling" in rule and not label:
        yield f"{path} is 99 without {rule['sibling']}"
    if value[name] != 99 and label is not None and label != rule["enum"][str(value[name])]:
        yield f"{path}: {label!r} is not its caption"


# CloudEvents


def cloudevents_faults(event: Mapping[str, Any]) -> list[str]:
    """What the JSON schema refuses, and names or characters that the specification refuses."""
    attributes = {name: value for name, value in event.items() if name != "data"}
    faults = [error.message for error in _CLOUDEVENT.iter_errors(attributes | {"data": {}})]
    for name, value in attributes.items():
        control = re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]", str(value))
        if not re.fullmatch(r"[a-z0-9]{1,20}", name) or not isinstance(value, str) or not value or control:
            faults.append(f"{name}: {value!r}")
    return faults + [name for name in ("time", "recordedtime") if name in event and not _is_time(event[name])]


# OpenTelemetry


def otlp_faults(line: str) -> list[str]:
    """What OTLP's own messages refuse (unknown names, other types, numbers beyond 64 bits), and attributes."""
    try:
        data = Parse(line, LogsData())
    except ParseError as error:
        return [str(error)]
    [resource] = data.resource_logs
    [scope] = resource.scope_logs
    [record] = scope.log_records
    names = [each.key for each in (*record.attributes, *resource.resource.attributes)]
    faults = [name for name in names if _OTEL.get(name, not name.startswith("whodid."))]
    urls = {resource.schema_url, scope.schema_url}
    faults += [] if urls == {"https://opentelemetry.io/schemas/1.45.0"} else [f"schema URLs {urls}"]
    faults += [] if len(set(names)) == len(names) else ["an attribute is there twice"]
    text = SeverityNumber.Name(record.severity_number)
    return faults + ([] if text == f"SEVERITY_NUMBER_{record.severity_text}" else [text])


# CEF

_LIMITS = (5, 63, 63, 31, 1023, 512, 2)
_OWN_KEY = re.compile(r"whodid[A-Za-z0-9]+")


def parts(line: str) -> tuple[list[str], dict[str, str]]:
    """The header and the extension of a line of CEF; raises `ValueError` for what a reader could misread."""
    header: list[str] = []
    at = 0
    while len(header) < len(_LIMITS):
        end = _end(line, at, "|")
        header.append(_unescaped(line[at:end], {"\\": "\\", "|": "|"}))
        at = end + 1
    pairs: dict[str, str] = {}
    extension, key, start = line[at:], "", 0
    while (end := _end(extension, start, "=")) < len(extension):
        before, _, after = extension[start:end].rpartition(" ")
        _add(pairs, key, before)
        key, start = after, end + 1
    _add(pairs, key, extension[start:])
    return header, pairs


def _end(text: str, start: int, separator: str) -> int:
    """Where the next separator is that is not escaped; the end of the text, if there is none."""
    while start < len(text) and text[start] != separator:
        start += 2 if text[start] == "\\" else 1
    return start


def _add(pairs: dict[str, str], key: str, raw: str) -> None:
    if not key and not raw:
        return
    if key in pairs or not re.fullmatch(r"[A-Za-z0-9]+", key):
        raise ValueError(f"the key {key!r}")
    pairs[key] = _unescaped(raw, {"\\": "\\", "=": "=", "n": "\n", "r": "\r"})


def _unescaped(raw: str, escapes: Mapping[str, str]) -> str:
    if not re.fullmatch(rf"(?:[^\\]|\\[{re.escape(''.join(escapes))}])*", raw):
        raise ValueError(f"an escape that CEF doesn't have: {raw!r}")
    return re.sub(r"\\(.)", lambda found: escapes[found[1]], raw)


def cef_faults(line: str) -> list[str]:
    """More than one line, a header that is too long, unknown keys, long values, labels without a value."""
    try:
        header, pairs = parts(line)
    except (ValueError, IndexError) as error:
        return [str(error)]
    faults = [] if len(line.splitlines()) == 1 and not re.search(r"[\x00-\x1f\x7f-\x9f]", line) else ["lines"]
    faults += [f"header: {text}" for text, most in zip(header, _LIMITS, strict=True) if not 0 < len(text) <= most]
    faults += [] if header[:3] == ["CEF:0", "whodid", "whodid"] and header[6] in ["3", "4", "6"] else ["header"]
    for key, text in pairs.items():
        kind, length = CEF.get(key, ["string" if _OWN_KEY.fullmatch(key) else "", None])
        fits = {"ipv4_address": _is_address(text) and "." in text, "ipv6_address": _is_address(text) and ":" in text}
        number = re.fullmatch(r"-?\d{1,19}", text) is not None
        fits |= {"string": bool(text) and len(text) <= (length or len(text)), "long": number, "timestamp": number}
        if not fits.get(kind):
            faults.append(f"{key}: {text!r}")
        labelled = key.removesuffix("Label") if key.endswith("Label") else f"{key}Label"
        if re.fullmatch(r"(cs|cn|c6a)\d(Label)?", key) and labelled not in pairs:
            faults.append(f"{key} without {labelled}")
    return faults
