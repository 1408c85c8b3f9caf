from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from clients import __main__ as runner
from clients.reports import Check, from_go, from_junit
from clients.suites import HERE, SUITES, Suite

JUNIT = """<?xml version="1.0"?>
<testsuites><testsuite>
  <testcase name="fine"/>
  <testcase name="bad"><failure message="not equal"/></testcase>
  <testcase name="broken"><error>no container</error></testcase>
  <testcase name="left out"><skipped/></testcase>
</testsuite></testsuites>
"""


def suite(*command: str, needs: tuple[str, ...] = (), fetch: tuple[str, ...] = ()) -> Suite:
    return Suite(
        client="Some",
        folder=HERE,
        version=lambda: "1.0",
        needs=needs,
        fetch=fetch,
        run=[sys.executable, "-c", *command],
        checks=lambda output, _report: from_junit(output) if output else [],
    )


def run(monkeypatch: pytest.MonkeyPatch, some: Suite) -> int:
    monkeypatch.setattr(runner, "SUITES", {"some": some})
    return runner.main([])


def test_a_report_of_junit_tells_each_check() -> None:
    assert from_junit(JUNIT) == [
        Check(name="fine"),
        Check(name="bad", trouble="not equal"),
        Check(name="broken", trouble="no container"),
        Check(name="left out", skipped=True),
    ]


def test_a_report_of_go_leaves_out_tests_that_only_hold_others() -> None:
    events = [
        {"Action": "pass", "Test": "TestIds/a"},
        {"Action": "output", "Test": "TestIds/b", "Output": "    suite_test.go:1: found 1\n"},
        {"Action": "fail", "Test": "TestIds/b"},
        {"Action": "fail", "Test": "TestIds"},
        {"Action": "skip", "Test": "TestBulk"},
        {"Action": "fail"},
    ]
    output = "\n".join(["go: downloading", *map(json.dumps, events)])
    assert from_go(output) == [
        Check(name="TestIds/a"),
        Check(name="TestIds/b", trouble="suite_test.go:1: found 1"),
        Check(name="TestBulk", skipped=True),
    ]


def test_a_suite_in_go_that_does_not_compile_is_a_failure() -> None:
    output = """{"ImportPath":"suite","Action":"build-output","Output":"# suite\\n"}
{"ImportPath":"suite","Action":"build-output","Output":"./suite_test.go:9: undefined: cart\\n"}
{"ImportPath":"suite","Action":"build-fail"}
{"Action":"fail","Package":"suite"}"""
    assert from_go(output) == [Check(name="suite", trouble="./suite_test.go:9: undefined: cart")]


def test_a_missing_toolchain_skips_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, suite(needs=("no-such-compiler",))) == 0
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first == "some: skipped: `no-such-compiler` is not installed here"
    assert last == "0 passed, 0 failed, 0 skipped"


def test_packages_that_are_not_to_be_had_skip_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch = (sys.executable, "-c", "raise SystemExit('\\x1b[0m\\nno route\\nto the registry')")
    assert run(monkeypatch, suite(fetch=fetch)) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith("said: no route")


@pytest.mark.slow
def test_a_suite_meets_an_emulator_of_its_own_and_its_failures_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = (
        "import os, urllib.request as u;"
        "u.urlopen(os.environ['COSMOS_ENDPOINT'] + '_emulator/stats').read();"
        f"print({JUNIT!r}.strip())"
    )
    assert run(monkeypatch, suite(script)) == 1
    out = capsys.readouterr().out
    assert "  failed: bad: not equal\n" in out
    assert "Some    1.0           1       2        1\n" in out
    assert out.endswith("\n1 passed, 2 failed, 1 skipped\n")


@pytest.mark.slow
def test_a_suite_that_ends_badly_without_a_report_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, suite("raise SystemExit('it does not compile')")) == 1
    assert "exit 1: it does not compile" in capsys.readouterr().out


def test_every_suite_names_its_version_and_pins_what_it_fetches() -> None:
    assert {each.version() for each in SUITES.values()} & {"", "unknown"} == set()
    for lock in ("javascript/package-lock.json", "go/go.sum"):
        text = Path(HERE, lock).read_text()
        assert "resolved" not in text
        assert "http://" not in text
        assert "https://" not in text
