"""Trims official schemas to what the tests of exports use: `tests/export/schemas`, whose README names the originals.

python -m tools.schemas ecs ecs_flat.yml
python -m tools.schemas ocsf compiled.json       # what ocsf-schema-compiler prints for a checkout of ocsf-schema
python -m tools.schemas otel package/dist/*_attributes.d.mts   # of the npm package @opentelemetry/semantic-conventions
python -m tools.schemas cef extensions.yaml
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parents[1] / "tests" / "export" / "schemas"
CLASSES = (3002, 3004, 3006, 3007, 6002, 6003, 6006)
FIELD_SETS = (
    "@timestamp client ecs entity event host http labels organization related service source trace user user_agent"
)
NAMESPACES = "client error event host http log service session user user_agent"


def ecs(path: str) -> dict[str, Any]:
    """Field → its type, whether it is an array, and what it may be; for a category also the types expected with it."""
    fields = yaml.safe_load(Path(path).read_text())
    return {
        name: {
            "type": field["type"],
            "array": "array" in field["normalize"],
            **({"allowed": [one["name"] for one in allowed]} if (allowed := field.get("allowed_values")) else {}),
            **({"expected": _expected(allowed)} if name == "event.category" else {}),
        }
        for name, field in fields.items()
        if name.partition(".")[0] in FIELD_SETS.split() and ".relationships." not in name
    }


def _expected(allowed: list[dict[str, Any]]) -> dict[str, list[str]]:
    return {one["name"]: one["expected_event_types"] for one in allowed}


def ocsf(path: str) -> dict[str, Any]:
    """The classes by number, the objects that events have, and the patterns of types."""
    compiled = json.loads(Path(path).read_text())
    classes = {str(one["uid"]): _rules(one) for one in compiled["classes"].values() if one.get("uid") in CLASSES}
    objects: dict[str, Any] = {}
    wanted = ["actor", "ai_agent", "api", "attestation", "file", "group", "http_request", "managed_entity", "metadata"]
    wanted += ["network_endpoint", "product", "resource_details", "service", "session", "user"]
    wanted += ["fingerprint", "iam_role", "logger", "prev_event", "programmatic_credential"]
    for name in wanted:
        objects[name] = _rules(compiled["objects"][name])
    types = compiled["dictionary"]["types"]["attributes"]
    patterns = {name: one["regex"] for name, one in types.items() if "regex" in one and name in {"email_t", "ip_t"}}
    return {"version": compiled["version"], "classes": classes, "objects": objects, "patterns": patterns}


def _rules(one: dict[str, Any]) -> dict[str, Any]:
    attributes = {
        name: {
            "type": found.get("object_type") or found["type"],
            **{key: True for key in ("is_array",) if found.get(key)},
            **({"required": True} if found["requirement"] == "required" else {}),
            **({"deprecated": True} if "@deprecated" in found else {}),
            **({"profiles": profiles} if (profiles := found.get("profiles")) else {}),
            **({"enum": {key: value["caption"] for key, value in enum.items()}} if (enum := found.get("enum")) else {}),
            **({"sibling": found["sibling"]} if "sibling" in found else {}),
        }
        for name, found in sorted(one["attributes"].items())
    }
    at_least_one = (one.get("constraints") or {}).get("at_least_one", [])
    return {"at_least_one": at_least_one, "deprecated": "@deprecated" in one, "attributes": attributes}


def otel(*paths: str) -> dict[str, Any]:
    """Attribute → whether it is deprecated."""
    found = {}
    for path in paths:
        for comment, name in re.findall(
            r'/\*\*(.*?)\*/\s*declare const ATTR_\w+: "([^"]+)"', Path(path).read_text(), re.S
        ):
            if name.partition(".")[0] in NAMESPACES.split():
                found[name] = "@deprecated" in comment
    return dict(sorted(found.items()))


def cef(path: str) -> dict[str, Any]:
    """Key that a producer may use → its type and its length; `c6a2` is in the chapter "Special Mappings" alone."""
    extensions = yaml.safe_load(Path(path).read_text())["extensions"]
    keys = [one for one in extensions if one["audience"] == "producer" and one["since"] == "0.1"]
    found = {one["key"]: [one["type"], one.get("length")] for one in keys}
    return {**found, "c6a2": found["c6a1"], "c6a2Label": found["c6a1Label"]}


TRIMMED: dict[str, tuple[str, Callable[..., dict[str, Any]]]] = {
    "ecs": ("ecs-9.4.0.json", ecs),
    "ocsf": ("ocsf-1.9.0-dev.json", ocsf),
    "otel": ("semantic-conventions-1.45.0.json", otel),
    "cef": ("cef-27.json", cef),
}

if __name__ == "__main__":
    name, trimmed = TRIMMED[sys.argv[1]]
    lines = [f"{json.dumps(key)}: {json.dumps(one)}" for key, one in trimmed(*sys.argv[2:]).items()]
    (HERE / name).write_text("{\n" + ",\n".join(lines) + "\n}\n")
