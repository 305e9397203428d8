"""The report of a real log: what it says of what was done, and of what was done in secret."""

from __future__ import annotations

import json
import os
import pwd
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.attacks.scene import NOW, Scene
from tests.commands import whodid
from tests.live.accounts import PASSWORD, account, secured_corner
from tests.live.corner import Corner, corner
from tests.opensearch_node import SecuredNode
from whodid.cluster.ledger import Ledger

from .conftest import ADDRESS, NAME, Story
from .making import Made, days_ago, make, whodid_report

pytestmark = pytest.mark.live

USER = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture(scope="module")
def told(story: Story, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(story.scene.corner, tmp_path_factory.mktemp("packs") / "all", until=days_ago(-1))


def test_an_intact_log_is_intact_and_complete(ready: Scene, tmp_path: Path) -> None:
    made = make(ready.corner, tmp_path / "intact")
    content = made.content
    assert (made.code, content["findings"]) == (0, [])
    assert made.output.startswith("30 entries in 1 journal: intact and complete\n")
    [part] = content["completeness"]
    assert (part["recorded"], part["stored"], part["missing"], part["complete"]) == (30, 30, 0, True)
    assert content["integrity"][0]["stretches"] == [
        {"verdict": "intact", "first": 1, "last": 30, "entries": 30, "about": ""}
    ]
    assert content["basis"]["keys"] == [ready.key.id] == content["summary"]["keys"]
    assert '<p class="verdict good">Intact and complete</p>' in made.html


def test_it_is_about_its_period_alone(ready: Scene, tmp_path: Path) -> None:
    content = make(ready.corner, tmp_path / "october", since=days_ago(40), until=days_ago(30)).content
    [part] = content["completeness"]
    assert (part["first"], part["last"], part["recorded"], part["stored"]) == (11, 20, 10, 10)
    assert content["numbers"]["entries"] == 10
    assert content["period"] == {"since": days_ago(40), "until": days_ago(30), "over": True}


def test_what_was_tampered_with_is_a_finding_and_the_pack_is_written(ready: Scene, tmp_path: Path) -> None:
    hit = ready.hits()[15]
    ready.put(hit, {**hit["_source"], "target": "<script>alert(1)</script>"})
    ready.delete(17, 18)
    made = make(ready.corner, tmp_path / "tampered")
    assert made.code == 1
    found = [(one["area"], one["kind"], one["first"], one["last"]) for one in made.content["findings"]]
    assert found == [("integrity", "altered", 15, 15), ("integrity", "gap", 17, 18)]
    assert made.content["findings"][0]["entries"] == [hit["_id"]]
    assert made.content["findings"][1]["proven"].startswith("20")
    [part] = made.content["completeness"]
    assert (part["stored"], part["missing"], part["complete"]) == (28, 2, False)
    assert made.output.splitlines()[-2:] == [
        "28 entries in 1 journal: 2 findings",
        f"written: {made.path}.html, {made.path}.dsse, {made.path}.json",
    ]
    assert hit["_id"] in made.html
    assert "2 findings" in made.html


def test_the_last_entries_of_a_period_can_t_be_removed_unseen(ready: Scene, tmp_path: Path) -> None:
    """Their checkpoint is closed after the period's end."""
    ready.record(5, 1.5 / 24)
    ready.seal(hours_ago=1)
    ready.delete(31, 32, 33, 34, 35)
    made = make(ready.corner, tmp_path / "p", since=days_ago(1), until=days_ago(1.2 / 24))
    assert [(one["kind"], one["first"], one["last"]) for one in made.content["findings"]] == [("gap", 31, 35)]


def test_a_witness_and_a_key_are_said_to_be_what_it_rests_on(ready: Scene, tmp_path: Path) -> None:
    folder = tmp_path / "witness"
    folder.mkdir()
    lines = b"".join(one.line() + b"\n" for one in ready.witness)
    (folder / "checkpoints.ndjson").write_bytes(lines)
    key = f"--public-key={ready.settings.signing_key_file}.pub"
    made = make(ready.corner, tmp_path / "r", f"--against={folder}", key)
    assert made.content["basis"]["outside"] == [str(folder)]
    assert made.content["basis"]["keys"] == [ready.key.id]
    assert "an outside witness" in made.html


def test_checkpoints_by_another_key_are_findings(ready: Scene, tmp_path: Path) -> None:
    from whodid.proof.keys import new_key

    new_key(tmp_path / "other.pem")
    made = make(ready.corner, tmp_path / "r", f"--public-key={tmp_path / 'other.pem.pub'}")
    assert made.code == 1
    assert {one["kind"] for one in made.content["findings"]} >= {"untrusted"}


def test_holds_of_the_period_are_told(told: Made, story: Story) -> None:
    kept, freed = story.holds
    found = {one["id"]: one for one in told.content["holds"]}
    assert set(found) == {kept, freed}
    assert (found[kept]["reason"], found[kept]["in_force"], found[kept]["set_in_period"]) == ("case 4711", True, True)
    assert found[kept]["covers"] == [story.scene.hits()[5]["_index"]]
    assert (found[freed]["why_released"], found[freed]["released_in_period"]) == ("closed", True)
    assert (found[freed]["covers"], found[freed]["in_force"]) == ([], False)
    assert all(text in told.html for text in ("case 4711", "case 12", "closed"))


def test_a_destruction_is_told_and_is_no_finding(told: Made, story: Story) -> None:
    [found] = told.content["destructions"]
    assert (found["partition"], found["state"], found["entries"]) == (story.destroyed, "deleted", 4)
    assert [(part["first_seq"], part["last_seq"]) for part in found["journals"]] == [(1, 4)]
    assert (told.code, told.content["findings"]) == (0, [])


def test_an_erasure_is_told_without_the_values(told: Made) -> None:
    [found] = told.content["erasures"]
    assert (found["principal"], found["reason"], found["entries"], found["journals"]) == ("99", "request 17", 3, 1)
    assert (found["by"], found["fields"]) == (USER, ["client_ip", "principal_name"])
    for text in (told.html, json.dumps(told.content)):
        assert NAME not in text
        assert ADDRESS not in text
    verdicts = [one["verdict"] for part in told.content["integrity"] for one in part["stretches"]]
    assert "erased" in verdicts


def test_what_was_done_to_the_log_is_listed_and_reads_are_counted(told: Made) -> None:
    done = told.content["done"]
    assert done["counts"] == {
        "audit_log_hold_released": 1,
        "audit_log_hold_set": 2,
        "audit_log_person_erased": 2,
        "audit_log_retention_set": 1,
        "audit_log_searched": 2,
        "audit_log_viewed": 1,
    }
    assert (done["total"], len(done["entries"])) == (6, 6)
    assert {one["principal"] for one in done["entries"]} == {USER}
    [change] = told.content["retention"]["changes"]
    assert change["details"]["retention"] == "400d"
    assert told.content["readers"] == [{"principal": "lin", "searched": 2, "viewed": 1, "exported": 0}]


def test_another_period_tells_none_of_it(story: Story, tmp_path: Path) -> None:
    made = make(story.scene.corner, tmp_path / "p", since=days_ago(40), until=days_ago(30))
    content = made.content
    told = [content[name] for name in ("holds", "destructions", "erasures", "readers")]
    assert told == [[], [], [], []]
    assert content["done"] == {"counts": {}, "total": 0, "entries": []}
    assert content["retention"]["changes"] == []


def test_a_period_without_entries_is_no_finding(ready: Scene, tmp_path: Path) -> None:
    made = make(ready.corner, tmp_path / "empty", since=days_ago(3000), until=days_ago(2990))
    assert made.code == 0
    assert made.output.startswith("0 entries in 0 journals: nothing was recorded\n")
    assert made.content["completeness"] == []
    assert '<p class="verdict">Nothing was recorded</p>' in made.html


def test_a_cluster_without_anything_is_told_as_that(opensearch_url: str, tmp_path: Path) -> None:
    with corner(opensearch_url, tmp_path) as place:
        made = make(place, tmp_path / "nothing")
    assert (made.code, made.content["numbers"]["entries"]) == (0, 0)


def test_a_period_that_is_not_over_says_so(ready: Scene, tmp_path: Path) -> None:
    made = make(ready.corner, tmp_path / "r", until=days_ago(-10))
    assert made.content["period"]["over"] is False
    assert any(note.startswith("the period was not over") for note in made.content["notes"])


def test_hostile_values_are_text(opensearch_url: str, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
    with corner(opensearch_url, tmp_path, host=evil, service=evil) as place:
        place.set_up()
        record = place.record(2, target_name=evil)
        place.ship()
        index = next(iter(place.stored().values()))["_index"]
        odd = {
            **{name: record[0][name] for name in ("creation_date", "@timestamp", "journal")},
            "type": f"audit_log_{evil}",
            "principal": evil,
            "target": f"{evil}\ud800".encode("utf-8", "replace").decode(),
            "details": {evil: evil, "n": 2**60, "bidi": "a\u202eb"},
            "hash": evil,
            "seq": 3,
        }
        place.client.index(index=index, id=evil, body=odd)
        hold = {"id": evil, "reason": evil, "by": evil, "time": evil, "partitions": [evil]}
        Ledger(place.client, place.settings).write("hold-x", "hold", hold, known=None)
        made = make(place, tmp_path / "evil", until=days_ago(-1))
        checked = whodid_report(place, str(made.path), "--check")
    assert made.code == 1
    assert checked.exit_code == 0
    assert "<script" not in made.html
    assert "<img" not in made.html
    assert "\u202e" not in made.html
    assert made.html.count("&lt;script&gt;") > 5
    [action] = made.content["done"]["entries"]
    assert (action["principal"], action["details"][evil], action["details"]["n"]) == (evil, evil, str(2**60))
    assert [one["reason"] for one in made.content["holds"]] == [evil]


def test_making_one_is_a_read_that_is_recorded_once(ready: Scene, tmp_path: Path) -> None:
    place = replace(ready.corner, settings=replace(ready.settings, audit_reads=True))
    made = make(place, tmp_path / "r", "--audit-reads=true", since=days_ago(40), until=days_ago(30))
    entries = [entry for entry in place.journalled() if entry["type"].startswith("audit_log_")]
    [read] = [entry for entry in entries if entry["type"] != "audit_log_journal_closed"]
    assert (read["type"], read["principal"], read["details"]["format"]) == ("audit_log_exported", USER, "report")
    assert days_ago(40) in read["details"]["query"]
    assert made.content["made"]["reads_recorded"] is True
    assert not any("audit_reads" in note for note in made.content["notes"])


def test_retention_that_will_not_hold_is_a_finding(
    ready: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = NOW + timedelta(days=3000)
    monkeypatch.setattr("whodid.retention.schedule.cluster_now", lambda _: late)
    made = make(ready.corner, tmp_path / "r")
    assert made.code == 1
    assert {one["area"] for one in made.content["findings"]} == {"retention"}
    assert len(made.content["findings"]) == 3
    assert "should have been deleted" in made.html


@pytest.fixture
def secured(secured_node: SecuredNode, tmp_path: Path) -> Iterator[Corner]:
    with secured_corner(secured_node, tmp_path) as place:
        place.record(3)
        place.ship()
        yield place


@pytest.mark.parametrize(("role", "known"), [("auditor", True), ("reader", False)])
def test_read_rights_are_enough(secured: Corner, tmp_path: Path, role: str, known: bool) -> None:
    """A reader of one organization may not read the ledger; the report says what it can't know."""
    user = account(secured, role, organization_id="1")
    (tmp_path / "password").write_text(PASSWORD)
    (tmp_path / "password").chmod(0o600)
    options = [
        f"--opensearch-user={user}",
        f"--opensearch-password-file={tmp_path / 'password'}",
        f"--opensearch-ca={secured.settings.opensearch_ca}",
    ]
    made = make(secured, tmp_path / role, *options)
    assert (made.content["holds"] is not None) is known
    assert any("may not read the ledger" in note for note in made.content["notes"]) is not known


def test_a_cluster_that_is_away_is_a_message(tmp_path: Path) -> None:
    away = ["--opensearch-hosts=http://127.0.0.1:1", f"--journal-dir={tmp_path / 'journal'}"]
    done = whodid("report", str(tmp_path / "r"), "--since=-7d", *away)
    assert done.returncode == 1
    assert done.stderr.startswith("whodid: ")
    assert list(tmp_path.glob("*.html")) == []


def test_programs_get_a_summary(ready: Scene, tmp_path: Path) -> None:
    made = make(ready.corner, tmp_path / "r", "--json")
    told = json.loads(made.output)
    assert told["files"] == [f"{made.path}.html", f"{made.path}.dsse", f"{made.path}.json"]
    assert told["signed_by"] == ready.key.id
    for name in ("period", "summary", "findings", "notes"):
        assert told[name] == made.content[name]


def test_without_a_key_it_says_that_it_is_not_signed(place: Corner, tmp_path: Path) -> None:
    place.record(3)
    place.ship()
    made = make(place, tmp_path / "r")
    assert (
        "not signed: anyone who can replace one of the files can replace them all; `whodid key new` creates a key"
        in made.errors
    )
    assert "no checkpoint was found" not in made.errors  # shipping closed one
    assert not Path(f"{made.path}.dsse").exists()
    assert made.content["made"]["signed_by"] == ""
    words = "intact and complete, but signatures were not checked"
    assert made.output.startswith(f"3 entries in 1 journal: {words}\n")
    assert '<p class="verdict">Intact' in made.html


def test_the_page_describes_the_json_as_it_is(told: Made) -> None:
    """docs/reference/format.md: every member of the JSON, and no other."""
    page = (Path(__file__).parents[2] / "docs" / "reference" / "format.md").read_text()
    named = {
        name for row in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", page, re.M) for name in re.findall(r"`(\w+)`", row)
    }
    members = set(told.content) | {name for name in ("made", "summary", "basis") for name in told.content[name]}
    members |= {
        name for part in ("completeness", "holds", "destructions", "erasures") for name in told.content[part][0]
    }
    assert members - named == set()


def test_the_page_s_python_runs(
    told: Made, story: Story, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "compliance.md").read_text()
    [snippet] = re.findall(r"```python\n(.*?)```", page, re.S)
    monkeypatch.chdir(told.path.parent)
    Path("signing.pem.pub").write_text(story.scene.key.pem)
    exec(snippet.replace("october", told.path.name), {})  # noqa: S102 (our own page)
    assert capsys.readouterr().out.endswith("the report is whole\n")
