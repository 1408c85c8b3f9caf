"""What a suite says of its checks, read from the report that its language's test runner writes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One test that ran; `trouble` is what it said when it failed."""

    name: str
    trouble: str | None = None
    skipped: bool = False


def from_junit(report: str) -> list[Check]:
    """Reads one file of JUnit's XML: Node's, pytest's and Surefire's."""
    return [_case(each) for each in ElementTree.fromstring(report).iter("testcase")]  # noqa: S314 - written by our own suites


def _case(case: ElementTree.Element) -> Check:
    troubles = [
        each.get("message") or (each.text or "").strip() or each.tag
        for kind in ("failure", "error")
        for each in case.findall(kind)
    ]
    return Check(
        name=case.get("name", ""),
        trouble=troubles[0] if troubles else None,
        skipped=case.find("skipped") is not None,
    )


def from_folder(folder: Path) -> list[Check]:
    """Reads Surefire's reports, a file for each class."""
    files = sorted(folder.glob("TEST-*.xml"))
    return [check for path in files for check in from_junit(path.read_text())]


def from_go(output: str) -> list[Check]:
    """Reads the lines of `go test -json`; a test that only holds others is none itself."""
    said: dict[str, list[str]] = {}
    ended: dict[str, str] = {}
    for event in _events(output.splitlines()):
        name = event.get("Test") or event.get("ImportPath")
        if name is None:
            continue
        said.setdefault(name, []).append(event.get("Output", ""))
        if event["Action"] in {"pass", "fail", "skip", "build-fail"}:
            ended[name] = event["Action"]
    holders = {name.rpartition("/")[0] for name in ended}
    return [
        Check(
            name=name,
            trouble=_told(said[name]) if action.endswith("fail") else None,
            skipped=action == "skip",
        )
        for name, action in ended.items()
        if name not in holders
    ]


def _events(lines: Iterable[str]) -> Iterable[dict[str, str]]:
    for line in lines:
        if line.startswith("{"):
            yield json.loads(line)


def _told(output: Iterable[str]) -> str:
    told = [line.strip() for line in output if line.startswith(("    ", "./"))]
    return told[0] if told else "failed"
