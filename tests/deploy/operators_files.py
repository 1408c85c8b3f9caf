"""What the tests of `deploy/` read: the alarms, and what the program exposes in truth."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from projector.core.health import Limits, RangeFacts, diagnose
from projector.core.names import LeaseToken
from projector.core.ranges import FULL_RANGE
from projector.core.states import CloseReason
from projector.ports.feed import Applied, Page, Spent
from projector.telemetry.fleet import FleetFigures, Replay
from projector.telemetry.metrics import Metrics
from tests.deploy.promql import Node, Scrapes, parsed
from tests.unit.telemetry.test_metrics import report

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "projector.rules.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "projector.json"
ON_CALL = ROOT / "docs" / "howto" / "on-call.md"
TOKEN = LeaseToken("0")
SCRAPED = {"job", "instance"}
"""Labels that Prometheus adds to whatever it scrapes."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alerting rule."""

    name: str
    expression: Node
    seconds: float
    labels: dict[str, str]
    annotations: dict[str, str]


def alarms() -> list[Alarm]:
    document: dict[str, Any] = yaml.safe_load(RULES.read_text("utf-8"))
    return [
        Alarm(
            rule["alert"],
            parsed(rule["expr"]),
            _seconds(rule.get("for", "0s")),
            rule["labels"],
            rule["annotations"],
        )
        for group in document["groups"]
        for rule in group["rules"]
    ]


def _seconds(text: str) -> float:
    return float(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]


async def _everything_happened(metrics: Metrics) -> None:
    await metrics.acquired(TOKEN)
    metrics.polled(TOKEN, Page(body=b"{}", continuation="1", lsn=1, session_lsn=1))  # type: ignore[arg-type]
    metrics.applied(
        TOKEN,
        Applied(delivered=1, removed=1, newest_time=datetime.now(UTC), least_ttl_seconds=60),
        seconds=0.1,
    )
    metrics.spent(Spent(container="cart", operation="feed", request_units=1.0, throttled=False))
    await metrics.failed(TOKEN, ValueError())
    await metrics.released(TOKEN, CloseReason.STALLED)
    await metrics.acquired(TOKEN)
    metrics.observed(report(gap=1, lag=1.0))


def exposition() -> str:
    """Of a host to which everything has happened once, as it is scraped."""
    facts = RangeFacts(
        lease_token=TOKEN, feed_range=FULL_RANGE, read_age_seconds=1.0, commit_age_seconds=1.0
    )
    found = diagnose([facts], limits=Limits())
    replay = Replay(
        lease_token=TOKEN, feed_range=FULL_RANGE, seconds=1.0, gap_changes=1, mark_lsn=2
    )
    metrics = Metrics(
        lambda: FleetFigures(
            diagnosis=found, look_age_seconds=0.0, known_seconds=0.0, replays=[replay]
        )
    )
    with asyncio.Runner() as runner:
        runner.run(_everything_happened(metrics))
    return metrics.exposition().decode()


def exposed() -> dict[str, set[str]]:
    """Per name of a sample the labels it bears."""
    scrapes = Scrapes()
    scrapes.add(0, text_string_to_metric_families(exposition()))
    return {
        name: {label for labels in series for label, _value in labels}
        for name, series in scrapes.series.items()
    }


def asked_for() -> set[str]:
    """The metrics that alarms are built on."""
    return {one.name for alarm in alarms() for one in alarm.expression.selectors()}


def unknown_in(node: Node, known: dict[str, set[str]]) -> list[str]:
    """What an expression names that no host exposes."""
    found = [one.name for one in node.selectors() if one.name not in known]
    labels: set[str] = set().union(*(known.get(one.name, set()) for one in node.selectors()))
    for one in node.selectors():
        named = {name for name, _how, _value in one.matchers}
        found += sorted(named - known.get(one.name, set()) - SCRAPED)
    return found + sorted(set(node.named_labels()) - labels - SCRAPED)
