"""Each alarm asks for what a host exposes, and says what to type; the page on call has a section for it."""

from __future__ import annotations

import re

import pytest

from projector.core.states import CloseReason, RangeState
from tests.deploy.operators_files import ON_CALL, Alarm, alarms, exposed, unknown_in

ALARMS = alarms()
VALUES = {
    "state": {state.value for state in RangeState},
    "reason": {reason.value for reason in CloseReason},
}
KNOWN = exposed()
each = pytest.mark.parametrize("alarm", ALARMS, ids=lambda alarm: alarm.name)


def section(name: str) -> str:
    page = ON_CALL.read_text("utf-8")
    found = re.search(rf"^## {name}$(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert found is not None, f"docs/howto/on-call.md has no section {name}"
    return found[1]


@each
def test_an_alarm_asks_for_what_is_exposed(alarm: Alarm) -> None:
    assert unknown_in(alarm.expression, KNOWN) == []


@each
def test_an_alarm_asks_for_values_that_there_are(alarm: Alarm) -> None:
    for selector in alarm.expression.selectors():
        for label, _how, wanted in selector.matchers:
            assert set(wanted.split("|")) <= VALUES[label]


@each
def test_an_alarm_says_what_it_is_and_what_to_type(alarm: Alarm) -> None:
    assert set(alarm.annotations) == {"summary", "description", "runbook"}
    assert alarm.labels.keys() == {"severity"}
    assert alarm.labels["severity"] in {"page", "ticket"}
    where, _, command = alarm.annotations["runbook"].partition(": ")
    assert where == f"docs/howto/on-call.md#{alarm.name.lower()}"
    typed = re.findall(r"```console\n(.*?)```", section(alarm.name), re.DOTALL)
    assert typed, "the section says no command"
    assert typed[0].splitlines()[0] == command


def test_the_page_knows_no_other_alarms() -> None:
    told = re.findall(r"^## (Projector\w+)$", ON_CALL.read_text("utf-8"), re.MULTILINE)
    assert told == [alarm.name for alarm in ALARMS]


@each
def test_what_an_alarm_says_names_only_labels_that_its_expression_leaves(alarm: Alarm) -> None:
    named = set(re.findall(r"\$labels\.(\w+)", "".join(alarm.annotations.values())))
    left = alarm.expression
    while left.kind in {"comparison", "set"}:
        left = left.operands[0]
    bare = left.kind == "selector"
    assert named <= (KNOWN[left.name] | {"job", "instance"} if bare else set(left.labels))
