"""The stand-in for Dashboards answers as the real one did: the table of cases, one by one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import urllib3

from tests.opensearch.dashboards_fake import DashboardsFake, dashboards_fake
from whodid.resources import resource_text

XSRF = {"osd-xsrf": "true"}


def lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in resource_text("opensearch/dashboards/audit.ndjson").splitlines()]


@pytest.fixture
def fake() -> Iterator[DashboardsFake]:
    with dashboards_fake() as made:
        yield made


def post(
    fake: DashboardsFake, *given: Mapping[str, Any], name: str = "a.ndjson", query: str = "?overwrite=true", **xsrf: str
) -> tuple[int, Any]:
    text = "".join(json.dumps(one) + "\n" for one in given)
    answer = urllib3.request(
        "POST",
        f"{fake.url}/api/saved_objects/_import{query}",
        headers=xsrf or XSRF,
        fields={"file": (name, text, "application/x-ndjson")},
    )
    return answer.status, answer.json()


def first_error(answer: tuple[int, Any]) -> Any:
    status, body = answer
    assert (status, body["success"]) == (200, False)
    return body["errors"][0]["error"]


def test_the_stand_in_takes_all_objects_at_once(fake: DashboardsFake) -> None:
    status, answer = post(fake, *lines())
    assert (status, answer["success"], answer["successCount"]) == (200, True, len(lines()))
    assert first_error(post(fake, *lines(), query="")) == {"type": "conflict"}


def test_the_stand_in_refuses_as_the_real_one_did(fake: DashboardsFake) -> None:
    pattern, search, *_ = lines()
    [visualization, *_] = [line for line in lines() if line["type"] == "visualization"]
    assert post(fake, pattern, name="a.json")[0] == 400
    assert post(fake, pattern, xsrf="no")[0] == 400
    assert first_error(post(fake, search))["references"] == [{"type": "index-pattern", "id": pattern["id"]}]
    newer = {**visualization, "migrationVersion": {"visualization": "9.0.0"}}
    assert post(fake, newer)[0] == 422
    odd = {**visualization, "attributes": {**visualization["attributes"], "colour": "red"}}
    assert "strict_dynamic_mapping_exception" in first_error(post(fake, pattern, odd))["message"]
    state = json.loads(visualization["attributes"]["visState"])
    odd = {**visualization, "attributes": {**visualization["attributes"], "visState": state}}
    assert "failed to parse" in first_error(post(fake, pattern, odd))["message"]
    assert first_error(post(fake, {"type": "lens", "id": "x", "attributes": {"title": "x"}})) == {
        "type": "unsupported_type"
    }
    assert post(fake, {**visualization, "references": []})[1]["success"]  # and then draws nothing


def test_the_stand_in_deletes_one_object_once_and_only_with_the_header(fake: DashboardsFake) -> None:
    post(fake, *lines())
    url = f"{fake.url}/api/saved_objects/search/whodid-audit.failures"
    statuses = [urllib3.request("DELETE", url, headers=headers).status for headers in ({}, XSRF, XSRF)]
    assert statuses == [400, 200, 404]
    assert len(fake.stored()) == len(lines()) - 1
