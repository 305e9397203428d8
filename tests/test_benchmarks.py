"""The benchmark runs, and says what docs/explanation/benchmarks.md says that it says. No time is asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmarks.validators import measure_validators
from benchmarks.variants import VARIANTS
from benchmarks.variety import calls

from whodid.catalog import Catalog

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("benchmarks")
    report = _measured("--calls", "20", "--dir", str(folder))
    assert not list(folder.iterdir())
    return report


@pytest.mark.soak
def test_both_paths_and_durabilities_stand_beside_plain_logging(report: Any) -> None:
    rows = {row["variant"]: row for row in report["recording"]}
    assert {f"whodid-{path}-{how}" for path in ("structlog", "stdlib") for how in ("process", "disk")} < rows.keys()
    assert rows["structlog"]["to_structlog"] == rows["stdlib"]["to_stdlib"] == 1
    assert all(0 < row["us_lowest"] <= row["us"] <= row["us_highest"] for row in rows.values())


def test_only_the_chosen_validator_refuses_every_broken_entry() -> None:
    rows = measure_validators(rounds=1, calls=20)
    assert [row["validator"] for row in rows if not row["accepts"]] == ["jsonschema-rs"]


def test_the_page_has_a_row_for_each_way_to_record() -> None:
    page = (ROOT / "docs" / "explanation" / "benchmarks.md").read_text()
    assert [name for name, variant in VARIANTS.items() if f"| {variant.about} " not in page] == []


@pytest.mark.soak
def test_the_page_has_a_row_for_everything_measured(report: Any) -> None:
    page = (ROOT / "docs" / "explanation" / "benchmarks.md").read_text()
    for row in report["recording"]:
        assert f"| {row['about']} " in page
    for row in report["validators"]:
        assert f"| {row['validator']} " in page
    for row in report["throughput"]:
        assert f"| {row['case']} " in page
    for row in report["imports"]:
        assert f"| {row['program']} " in page


@pytest.mark.soak
def test_threads_processes_and_the_import_stand_beside_one_thread_and_structlog(report: Any) -> None:
    rows = {row["case"]: row for row in report["throughput"]}
    assert rows.keys() == {"one thread", "16 threads", "8 processes"}
    assert rows["one thread"]["to_one"] == 1
    assert all(0 < row["longest_ms"] <= row["longest_ms_of_all"] and row["per_second"] > 0 for row in rows.values())
    assert [(row["program"], row["to_structlog"] >= 1) for row in report["imports"][:1]] == [("import structlog", True)]


@pytest.mark.live
def test_shipping_stands_beside_its_limit_and_a_carrier_that_is_not_installed_says_so(
    opensearch_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    only = ("--only", "whodid", "--only", "rsyslog")
    report = _measured("shipping", "--entries", "200", *only, "--limit", "100", "1", "--url", opensearch_url)
    rows = {row["carrier"]: row for row in report["rows"]}
    assert {name: row["installed"] for name, row in rows.items()} == {"limit": True, "whodid": True, "rsyslog": False}
    assert rows["limit"]["to_limit"] == 1
    assert isinstance(rows["whodid"]["per_second"], float)  # so few entries are lost in the noise of a process's start


@pytest.mark.live
def test_the_disk_of_the_template_stands_beside_dynamic_mapping(opensearch_url: str) -> None:
    report = _measured("disk", "--entries", "300", "--url", opensearch_url)
    rows = {row["mapping"]: row for row in report["rows"]}
    assert rows.keys() == {"dynamic", "dynamic-compressed", "whodid"}
    assert rows["dynamic"]["merged_to_dynamic"] == rows["dynamic"]["as_they_come_to_dynamic"] == 1
    assert 0 < rows["whodid"]["merged"] < rows["dynamic"]["merged"]
    page = (ROOT / "docs" / "explanation" / "benchmarks.md").read_text()
    assert all(f"| {row['about']} " in page for row in report["rows"])


@pytest.mark.live
@pytest.mark.soak
def test_reading_stands_beside_the_bare_client_and_the_start_beside_nothing(opensearch_url: str) -> None:
    report = _measured("reading", "--entries", "200", "--url", opensearch_url)
    ways = {row["way"]: row for row in report["iteration"]["rows"]}
    assert ways.keys() == {"bare", "whodid"}
    assert (ways["bare"]["to_bare"], report["iteration"]["few"]) == (1, 20)
    assert all(row["per_second"] > 0 and row["peak_mb_of_few"] > 0 < row["peak_mb"] for row in ways.values())
    forms = {row["way"]: row for row in report["exports"]["rows"]}
    assert {"bare", "ndjson", "csv", "parquet"} < forms.keys()
    assert all(row["per_second"] > 0 < row["peak_mb"] for row in forms.values())
    pages = {row["question"]: row for row in report["pages"]["rows"]}
    assert all(row["found"] <= 200 for row in pages.values())
    assert 0 < pages["since:-7d"]["found"] < 100
    assert all(row["aim_more_ms"] >= 3 and min(row["bare_ms"], row["whodid_ms"]) > 0 for row in pages.values())
    nothing, ours = report["starts"]["rows"]
    assert nothing["to_nothing"] == 1
    assert 0 < ours["ms_lowest"] <= ours["ms"] <= ours["ms_highest"]
    checked = {row["way"]: row for row in report["verification"]["rows"]}
    assert checked.keys() == {"ndjson", "verify-1", "verify-2"}
    assert checked["ndjson"]["to_export"] == checked["verify-1"]["to_one"] == 1
    page = (ROOT / "docs" / "explanation" / "benchmarks.md").read_text()
    assert all(f"| {row['about']} " in page for row in (*ways.values(), *forms.values(), *checked.values()))
    assert all(f"| `{question}` " in page for question in pages)
    assert all(f"| `{row['program']}` " in page for row in (nothing, ours))


@pytest.mark.live
def test_what_proof_costs_stands_beside_calls_and_shipping_without_it(opensearch_url: str) -> None:
    report = _measured("proof", "--entries", "2000", "--calls", "20", "--url", opensearch_url)
    assert [row["about"] for row in report["commitments"]] == [
        "one personal value, committed to",
        "four personal values, committed to",
    ]
    assert all(0 < row["ratio_lowest"] <= row["ratio"] <= row["ratio_highest"] for row in report["commitments"])
    assert 0 < report["checkpoints"]["share_lowest"] <= report["checkpoints"]["share_highest"] < 1
    assert report["checkpoints"]["closed"] == 2
    page = (ROOT / "docs" / "explanation" / "benchmarks.md").read_text()
    assert all(f"| {row['about']} " in page for row in report["commitments"])


def test_the_entries_that_disk_and_reading_are_measured_by_are_of_every_type_and_the_same_again() -> None:
    made = list(calls(200, seed=1))
    assert {event_type for _, event_type, _ in made} == set(Catalog.load().types)
    assert [moment for moment, _, _ in made] == sorted(moment for moment, _, _ in made)
    assert made == list(calls(200, seed=1)) != list(calls(200, seed=2))
    days = {moment // 86_400_000_000_000 for moment, _, _ in calls(200, seed=1, first_second=86_400, days=3)}
    assert days == {1, 2, 3}


@pytest.mark.live
def test_kills_of_application_and_shipper_are_counted_in_the_cluster(opensearch_url: str) -> None:
    rows = _measured("losses", "--entries", "200", "--only", "whodid", "--url", opensearch_url)
    counted = {row["killed"]: row for row in rows}
    assert "kills" not in counted["OpenSearch"]  # a node that is not our own
    for killed in ("shipper", "application"):
        assert counted[killed]["kills"] == 2
        assert counted[killed]["recorded"] >= 198
        assert (counted[killed]["lost"], counted[killed]["doubled"]) == (0, 0)


def _measured(*arguments: str) -> Any:
    command = [sys.executable, "-m", "benchmarks", *arguments, "--rounds", "1", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)
