"""What rings in which outage, and what does not: asked of our own evaluator, and of promtool where it is.

The quiet town says that nothing rings by itself; each outage begins after ten quiet minutes.
"""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from projector.core.states import CloseReason, RangeState
from projector.telemetry.metrics import Metrics
from tests.deploy.operators_files import RULES, Alarm, alarms
from tests.deploy.outages import ASKED_FOR, EVERY_SECONDS, Town, ringing, town
from tests.deploy.promql import Labels

ALARMS = alarms()
PROMTOOL = shutil.which("promtool")


async def quiet(here: Town) -> None:
    await here.passes(15)


async def nobody_reads(here: Town) -> None:
    await here.leave_the_ranges()
    await here.passes(20)


async def behind(here: Town) -> None:
    here.behind_since = here.clock.now()
    await here.passes(20)


async def postgresql_down(here: Town) -> None:
    here.target_down = True
    here.all_become(RangeState.WAITING_FOR_TARGET)
    await here.passes(20)


async def all_hosts_gone(here: Town) -> None:
    here.hosts_gone = True
    await here.passes(20)


async def cosmos_down(here: Town) -> None:
    here.all_become(RangeState.WAITING_FOR_SOURCE)
    await here.passes(20)


async def throttled(here: Town) -> None:
    here.all_become(RangeState.THROTTLED)
    await here.passes(20)


async def recreated(here: Town) -> None:
    here.all_become(RangeState.SOURCE_RECREATED)
    await here.passes(5)


async def one_host_cut_off(here: Town) -> None:
    here.hosts[0].cut_off = True
    await here.passes(7)


async def stalling(here: Town) -> None:
    for _time in range(3):
        await here.opens_anew(CloseReason.STALLED)
        await here.passes(2)


async def wandering(here: Town) -> None:
    for _time in range(7):
        await here.opens_anew(CloseReason.LEASE_LOST)
        await here.passes(2)


async def bad_documents_and_drift(here: Town) -> None:
    here.quarantined, here.drift = 3, 1
    await here.passes(1)


async def not_verified(here: Town) -> None:
    here.verified_at = here.began - timedelta(days=3)
    await here.passes(1)


async def half_an_upgrade(here: Town) -> None:
    host = here.hosts[0]
    host.metrics = Metrics(host.watch.figures, reports=host.own, version="1.1.0")
    await here.passes(75)


async def behind_with_short_markers(here: Town) -> None:
    here.marker_of(600)
    await here.passes(2)
    here.behind_since = here.clock.now()
    await here.passes(7)


async def somebody_holds_a_lock(here: Town) -> None:
    here.blocked_since = here.clock.now()
    await here.passes(5)


async def a_lock_for_a_moment(here: Town) -> None:
    here.blocked_since = here.clock.now()
    await here.passes(1)
    here.blocked_since = None
    await here.passes(5)


async def a_replay_without_end(here: Town) -> None:
    here.replay_since = here.began - timedelta(hours=25)
    await here.passes(1)


OUTAGES: dict[Callable[[Town], Awaitable[None]], set[str]] = {
    quiet: set(),
    nobody_reads: {"NotHealthy", "RowsOld", "RangeUnread"},
    behind: {"NotHealthy", "RowsOld"},
    postgresql_down: {"NotHealthy", "RowsOld", "TargetDown"},
    all_hosts_gone: {"Gone"},
    cosmos_down: {"NotHealthy", "RowsOld", "SourceDown"},
    throttled: {"NotHealthy", "RowsOld", "Throttled"},
    recreated: {"SourceRecreated"},
    one_host_cut_off: {"HostBlind", "NotHealthy"},
    stalling: {"Stalls"},
    wandering: {"LeasesWander"},
    bad_documents_and_drift: {"Quarantine", "Drift"},
    not_verified: {"NotVerified"},
    behind_with_short_markers: {"MarkersExpire"},
    somebody_holds_a_lock: {"TargetBlocked"},
    a_lock_for_a_moment: set(),
    a_replay_without_end: {"ReplayLong"},
    half_an_upgrade: {"VersionsMixed"},
}


def test_each_alarm_rings_in_some_outage() -> None:
    assert set().union(*OUTAGES.values()) == {
        alarm.name.removeprefix("Projector") for alarm in ALARMS
    }


@pytest.mark.parametrize("outage", OUTAGES, ids=lambda outage: outage.__name__)
async def test_what_rings_in_an_outage(
    outage: Callable[[Town], Awaitable[None]], tmp_path: Path
) -> None:
    async with town() as here:
        before = here.seconds() - EVERY_SECONDS
        await outage(here)
        at = here.seconds() - EVERY_SECONDS
    rung = {alarm.name: ringing(alarm, here.scrapes, at) for alarm in ALARMS}

    assert {name.removeprefix("Projector") for name in rung if rung[name]} == OUTAGES[outage]
    assert not any(ringing(alarm, here.scrapes, before) for alarm in ALARMS)
    if PROMTOOL is not None:
        _promtool_agrees(PROMTOOL, tmp_path, here, rung, at)


def _promtool_agrees(
    promtool: str, folder: Path, here: Town, rung: dict[str, set[Labels]], at: int
) -> None:
    """The same scrapes, under the rules as Prometheus itself reads them."""
    case = {
        "rule_files": [str(RULES)],
        "evaluation_interval": f"{EVERY_SECONDS}s",
        "tests": [
            {
                "interval": f"{EVERY_SECONDS}s",
                "input_series": _series(here, at),
                "alert_rule_test": [
                    {
                        "eval_time": f"{at}s",
                        "alertname": alarm.name,
                        "exp_alerts": [_told(alarm, labels) for labels in rung[alarm.name]],
                    }
                    for alarm in ALARMS
                ],
            }
        ],
    }
    path = folder / "case.yml"
    path.write_text(yaml.safe_dump(case), "utf-8")
    done = subprocess.run(
        [promtool, "test", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _series(here: Town, at: int) -> list[dict[str, str]]:
    found = []
    for name in ASKED_FOR:
        for labels, points in here.scrapes.series[name].items():
            seen = dict(points)
            values = [_shown(seen.get(when)) for when in range(0, at + 1, EVERY_SECONDS)]
            named = ",".join(f'{label}="{value}"' for label, value in sorted(labels))
            found.append({"series": f"{name}{{{named}}}", "values": " ".join(values)})
    return found


def _shown(value: float | None) -> str:
    if value is None:
        return "_"
    return "NaN" if math.isnan(value) else repr(value)


def _told(alarm: Alarm, labels: Labels) -> dict[str, Any]:
    named = dict(labels)
    texts = {
        key: re.sub(r"{{ \$labels\.(\w+) }}", lambda found: named[found[1]], text)
        for key, text in alarm.annotations.items()
    }
    return {"exp_labels": {**named, **alarm.labels}, "exp_annotations": texts}


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_prometheus_itself_accepts_the_rules() -> None:
    assert PROMTOOL is not None
    done = subprocess.run(
        [PROMTOOL, "check", "rules", str(RULES)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
