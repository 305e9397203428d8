"""What operators deploy: only settings, commands and metrics that there are, and times that fit together."""

from __future__ import annotations

import configparser
import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from tests.shipping.test_metrics import NAMES
from whodid.cli.program import program
from whodid.settings import Settings
from whodid.shipping.log import EVENTS

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
SETTINGS = {f"WHODID_{field.name.upper()}" for field in fields(Settings)}
DEFAULTS = Settings(journal_dir="nowhere")
SAMPLES = {name + suffix for name in NAMES for suffix in ("", "_total", "_bucket", "_sum", "_count")}


def metrics_in(expression: str) -> set[str]:
    return set(re.findall(r"\bwhodid_\w+", expression))


def test_the_alert_rules_ask_for_metrics_that_there_are() -> None:
    [group] = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]:
        assert metrics_in(rule["expr"])
        assert metrics_in(rule["expr"]) <= SAMPLES
        assert rule["expr"].count("(") == rule["expr"].count(")")
        assert rule["annotations"]["summary"]


def test_each_alert_is_explained() -> None:
    [group] = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]
    page = (ROOT / "docs" / "how-to" / "operations.md").read_text()
    explained = set(re.findall(r"^\| `(Whodid\w+)` \|", page, re.M))
    assert explained == {rule["alert"] for rule in group["rules"]}


def test_the_dashboard_shows_every_metric_and_none_that_there_is_not() -> None:
    dashboard = json.loads((DEPLOY / "grafana" / "whodid.json").read_text())
    asked = {
        name for panel in dashboard["panels"] for target in panel["targets"] for name in metrics_in(target["expr"])
    }
    assert asked <= SAMPLES
    assert {re.sub(r"_(total|bucket)$", "", name) for name in asked} == NAMES
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_the_page_names_every_metric_event_and_setting_rightly() -> None:
    page = (ROOT / "docs" / "how-to" / "operations.md").read_text()
    assert {re.sub(r"_total$", "", name) for name in metrics_in(page)} == NAMES
    assert EVENTS.items() <= set(re.findall(r"^\| `(\w+)` \| (.*) \|$", page, re.M))


def containers(file: Path) -> list[dict[str, Any]]:
    [found] = yaml.safe_load_all(file.read_text())
    spec = found["spec"]["template"]["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


@pytest.mark.parametrize("file", sorted((DEPLOY / "kubernetes").glob("*.yaml")), ids=lambda file: file.name)
def test_a_pod_names_settings_that_there_are_and_has_time_to_drain(file: Path) -> None:
    [found] = yaml.safe_load_all(file.read_text())
    spec = found["spec"]["template"]["spec"]
    for container in containers(file):
        given = {one["name"]: one.get("value", "") for one in container.get("env", [])}
        assert set(given) <= SETTINGS
        drain = float(given.get("WHODID_DRAIN_TIMEOUT") or DEFAULTS.drain_timeout)
        assert spec["terminationGracePeriodSeconds"] > drain + 5
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        claimed = {claim["metadata"]["name"] for claim in found["spec"].get("volumeClaimTemplates", [])}
        assert mounted <= {volume["name"] for volume in spec["volumes"]} | claimed
        if "livenessProbe" in container:
            assert accepted(container["command"][1:])
            probed = [container[kind]["httpGet"] for kind in ("livenessProbe", "readinessProbe")]
            assert [one["path"] for one in probed] == ["/healthz", "/readyz"]
            [port] = container["ports"]
            assert container["command"][-1].endswith(f":{port['containerPort']}")


def accepted(arguments: list[str]) -> bool:
    """Whether the program takes these arguments: with `--help` behind them, it does nothing but say so."""
    return CliRunner().invoke(program, [*arguments, "--help"]).exit_code == 0


@pytest.mark.parametrize("file", sorted((DEPLOY / "systemd").glob("*.service")), ids=lambda file: file.name)
def test_a_unit_calls_the_program_rightly_and_leaves_it_time(file: Path) -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign] # the documented way to keep capitals
    unit.read(file)
    service = unit["Service"]
    _, _, arguments = service["ExecStart"].partition("/bin/whodid ")
    assert accepted([word for word in arguments.split() if word not in {"--config", "/etc/whodid.toml"}])
    assert set(re.findall(r"WHODID_\w+", file.read_text())) <= SETTINGS
    if service["Type"] == "notify":
        assert float(service["TimeoutStopSec"]) > DEFAULTS.drain_timeout + 5
        assert float(service["WatchdogSec"]) > 30 + 3 * DEFAULTS.opensearch_timeout
