"""The pytest plugin, as the tests of an application meet it: in a pytest of their own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

APPLICATION = """
import logging
import structlog
import whodid

def refund(invoice, principal="42"):
    with whodid.context(principal=principal):
        whodid.get_logger().audit("invoice_refunded", target=invoice)

def delete(invoice):
    with whodid.context(principal="42"):
        logging.getLogger("app").audit("invoice_deleted", target=invoice)

def create(target):
    with whodid.context(principal="42"):
        structlog.get_logger().audit("credentials_created", target=target)
"""

CATALOG = "".join(
    f'[types.invoice_{name}]\nresource = "invoice"\nevent = "{name}"\nabout = "x"\n'
    for name in ("deleted", "refunded", "sent")
)

CONFTEST = """
import whodid
whodid.configure(journal_dir="journal", catalog="events.toml", service="shop")
"""


@pytest.fixture
def application(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with an application that is configured as its conftest is imported."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # the other plugins of this environment take their time
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p whodid -p no:cacheprovider")
    pytester.makepyfile(app=APPLICATION)
    pytester.makefile(".toml", events='[resources.invoice]\nlabel = "Invoices"\ntarget = "its number"\n' + CATALOG)
    pytester.makeconftest(CONFTEST)
    return pytester


def run(application: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return application.runpytest_subprocess("-W", "error", *arguments)


def journals(application: pytest.Pytester) -> list[Path]:
    return [application.path / "journal", Path(os.environ["XDG_STATE_HOME"]) / "whodid"]


def test_a_test_sees_what_the_application_records_and_nothing_is_on_disk(application: pytest.Pytester) -> None:
    application.makepyfile("""
        from app import delete, refund

        def test_it(audit_entries):
            refund("2026-117")
            entry = audit_entries.assert_recorded(type="invoice_refunded", target="2026-117", principal="42")
            assert entry["service"] == "shop"
            delete("2026-117")
            audit_entries.assert_recorded(type="invoice_deleted")
            audit_entries.assert_not_recorded(type="invoice_sent")
    """)
    run(application).assert_outcomes(passed=1)
    assert [path for path in journals(application) if path.exists()] == []


def test_a_failing_assertion_says_what_was_recorded_instead_and_shows_the_test_s_line(
    application: pytest.Pytester,
) -> None:
    application.makepyfile("""
        from app import refund

        def test_it(audit_entries):
            refund("2026-117", principal="43")
            audit_entries.assert_recorded(type="invoice_refunded", principal="42")
    """)
    result = run(application)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            ">       audit_entries.assert_recorded(type=[\"']invoice_refunded[\"'], principal=[\"']42[\"'])",
            "E       AssertionError: no entry was recorded with type='invoice_refunded', principal='42'.",
            "E       Nearest of 1:",
            "E         [[]0[]] invoice_refunded of 2026-117",
            "E           principal: expected '42', was '43'",
        ],
        consecutive=True,
    )
    result.stdout.no_fnmatch_line("*__tracebackhide__*")


def test_one_test_doesn_t_see_what_another_recorded(application: pytest.Pytester) -> None:
    application.makepyfile("""
        import pytest
        from app import refund

        @pytest.mark.parametrize("invoice", ["a", "b"])
        def test_it(audit_entries, invoice):
            assert audit_entries == []
            refund(invoice)
            assert [(entry["target"], entry["seq"]) for entry in audit_entries] == [(invoice, 1)]
    """)
    run(application).assert_outcomes(passed=2)


def test_a_test_without_the_fixture_records_where_the_application_says(application: pytest.Pytester) -> None:
    application.makepyfile("""
        from pathlib import Path
        from app import refund

        def test_first(audit_entries):
            refund("a")
            assert not Path("journal").exists()

        def test_second():
            refund("b")
            [segment] = Path("journal").glob("*/*.ndjson")
            assert b'"target":"b"' in segment.read_bytes()
    """)
    run(application).assert_outcomes(passed=2)


def test_a_configure_within_a_test_counts_for_that_test(application: pytest.Pytester) -> None:
    application.makeconftest("")
    application.makepyfile("""
        import pytest
        import whodid
        from app import create, refund

        def test_first(audit_entries):
            whodid.configure(journal_dir="journal", catalog="events.toml", ship=True)
            refund("a")
            audit_entries.assert_recorded(type="invoice_refunded")

        def test_second(audit_entries):
            with pytest.raises(whodid.InvalidEntry, match="no event type"):
                refund("b")
            create("6Yk2")
            assert len(audit_entries) == 1
    """)
    run(application).assert_outcomes(passed=2)
    assert [path for path in journals(application) if path.exists()] == []


def test_every_test_uses_it_where_the_project_says_so(application: pytest.Pytester) -> None:
    application.makeini("[pytest]\nusefixtures = audit_entries")
    application.makepyfile("""
        import unittest
        from app import refund

        def test_function():
            refund("a")

        class TestOfUnittest(unittest.TestCase):
            def test_method(self):
                refund("b")
    """)
    run(application, "--audit-coverage").stdout.fnmatch_lines("3 event types, 1 exercised: 33.3 %*")
    assert [path for path in journals(application) if path.exists()] == []


@pytest.mark.parametrize("arguments", [(), ("--audit-coverage",)])
def test_a_run_that_doesn_t_use_it_imports_nothing_of_whodid(
    application: pytest.Pytester, arguments: tuple[str, ...]
) -> None:
    application.makeconftest("")
    application.makepyfile("""
        import sys

        def test_it():
            assert "pytest_whodid" in sys.modules
            assert [name for name in sys.modules if name.partition(".")[0] in {"structlog", "whodid"}] == []
    """)
    run(application, *arguments).assert_outcomes(passed=1)


def test_pytest_finds_it_by_itself(pytester: pytest.Pytester) -> None:
    done = pytester.run(sys.executable, "-m", "pytest", "--fixtures", "-p", "no:cacheprovider")
    done.stdout.fnmatch_lines(["*fixtures defined from pytest_whodid*", "audit_entries -- *"])


TWO_OF_THREE = """
    from app import delete, refund

    def test_refund(audit_entries):
        refund("a")
        audit_entries.clear()

    def test_failing(audit_entries):
        delete("a")

    def test_other():
        pass
"""


def test_coverage_lists_the_event_types_that_no_test_recorded(application: pytest.Pytester) -> None:
    application.makepyfile(TWO_OF_THREE)
    result = run(application, "--audit-coverage")
    result.stdout.fnmatch_lines(
        ["*= audit coverage =*", "3 event types, 2 exercised: 66.6 %; no test recorded:", "  invoice_sent"],
        consecutive=True,
    )
    assert result.ret == pytest.ExitCode.OK


def test_without_the_option_there_is_no_coverage(application: pytest.Pytester) -> None:
    application.makepyfile(TWO_OF_THREE)
    run(application).stdout.no_fnmatch_line("*audit coverage*")


def test_coverage_is_collected_from_the_workers_of_xdist(application: pytest.Pytester) -> None:
    application.makepyfile(TWO_OF_THREE)
    result = run(application, "-p", "xdist", "-n", "2", "--audit-coverage-fail-under=66")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(
        ["3 event types, 2 exercised: 66.6 %; no test recorded:", "  invoice_sent"], consecutive=True
    )
    result.stdout.no_fnmatch_line("*crashed*")
    assert result.ret == pytest.ExitCode.OK


def test_a_worker_that_crashed_is_said(application: pytest.Pytester) -> None:
    application.makepyfile("""
        import os
        from app import refund

        def test_crash(audit_entries):
            refund("a")
            os._exit(1)

        def test_other(audit_entries):
            refund("b")
    """)
    result = run(application, "-p", "xdist", "-n", "1", "--audit-coverage")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["3 event types, 1 exercised: *", "worker gw0 crashed: what its tests recorded is not counted"]
    )


@pytest.mark.parametrize("arguments", [(), ("-p", "xdist", "-n", "2")], ids=["alone", "xdist"])
@pytest.mark.parametrize(("fail_under", "code"), [("66.6", 0), ("66.7", 1)])
def test_too_little_coverage_fails_the_run(
    application: pytest.Pytester, fail_under: str, code: int, arguments: tuple[str, ...]
) -> None:
    application.makepyfile(TWO_OF_THREE)
    result = run(application, f"--audit-coverage-fail-under={fail_under}", *arguments)
    assert result.ret == code
    said = [line for line in result.outlines if line.startswith("FAILED")]
    assert said == ["FAILED: less than --audit-coverage-fail-under=66.7"] * code


def test_the_catalog_s_whole_coverage_lists_nothing(application: pytest.Pytester) -> None:
    application.makepyfile("""
        import whodid

        def test_it(audit_entries):
            for name in ("deleted", "refunded", "sent"):
                whodid.get_logger().audit(f"invoice_{name}", target="a", principal="42")
    """)
    result = run(application, "--audit-coverage-fail-under=100")
    assert "3 event types, 3 exercised: 100 %" in result.outlines
    assert result.ret == pytest.ExitCode.OK


def test_without_any_entry_the_catalog_is_the_environment_s(
    application: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    application.makepyfile("def test_it(): pass")
    monkeypatch.setenv("WHODID_CATALOG", "events.toml")
    run(application, "--audit-coverage").stdout.fnmatch_lines("3 event types, 0 exercised: 0 %; no test recorded:")
    (application.path / "one.toml").write_text(
        (application.path / "events.toml").read_text().partition("[types.invoice_r")[0]
    )
    monkeypatch.setenv("WHODID_CATALOG", "one.toml")
    run(application, "--audit-coverage").stdout.fnmatch_lines("1 event type, 0 exercised: 0 %; no test recorded:")
    monkeypatch.setenv("WHODID_CATALOG", "missing.toml")
    result = run(application, "--audit-coverage")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines("*--audit-coverage: the catalog */missing.toml can't be read*")


def test_what_is_no_percentage_is_refused(application: pytest.Pytester) -> None:
    for text in ("101", "-1", "x", "nan"):
        result = run(application, f"--audit-coverage-fail-under={text}")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(f"*--audit-coverage-fail-under: must be a number from 0 to 100, not '{text}'")


def test_where_tests_are_only_listed_nothing_is_said_of_coverage(application: pytest.Pytester) -> None:
    application.makepyfile(TWO_OF_THREE)
    result = run(application, "--collect-only", "--audit-coverage-fail-under=100")
    result.stdout.no_fnmatch_line("*audit coverage*")
    assert result.ret == pytest.ExitCode.OK
