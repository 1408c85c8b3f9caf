"""The alarms of the copy, tried with a real host against the outages that they are there for.

All alarms, with what Prometheus makes of them over time, are tried in `tests/deploy`.

Seconds are a two-hundredth of what they are in production, here and in the alarms alike.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from cosmos_emulator import EmulatorServer
from projector.core import health
from projector.operations import fleet, status
from projector.wiring.service import Service
from tests.acceptance.proxy import Proxy, proxy_to
from tests.integration.verify.support import Pair, paired, until

ROOT = Path(__file__).parents[3]
RULES = ROOT / "deploy" / "prometheus" / "projector.rules.yml"
PAGE = ROOT / "docs" / "reference" / "metrics.md"
SCALE = 0.005
RING = {"ProjectorNotHealthy", "ProjectorRowsOld"}
PATIENCE_SECONDS = 30
OUTAGES = ("source down", "throttled", "target down", "range without owner")


def alarms() -> dict[str, str]:
    groups = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def ringing(service: Service) -> set[str]:
    """Those of the copy itself whose expression is true now, as one host tells it."""
    families = text_string_to_metric_families(service.metrics.exposition().decode())
    values: dict[str, list[float]] = {}
    for family in families:
        for sample in family.samples:
            values.setdefault(sample.name, []).append(sample.value)
    found = alarms()
    return {name for name in RING if true_of(found[name], values)}


def true_of(expression: str, values: dict[str, list[float]]) -> bool:
    compared = re.fullmatch(r"min by \([\w, ]+\) \((\w+)\) (==|>) (\d+)", expression)
    assert compared is not None, expression
    name, operator, number = compared[1], compared[2], float(compared[3])
    limit = number * SCALE if name.endswith("_seconds") else number
    assert name in values, f"nothing is exported for {expression}"
    return any(one == limit if operator == "==" else one > limit for one in values[name])


@pytest.fixture(autouse=True)
def short_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, seconds in (
        (health, "WAIT_SECONDS", 1.0),
        (status, "FRESH_SECONDS", 2.5),
        (fleet, "LOOK_SECONDS", 0.2),
        (fleet, "OLD_SECONDS", 2.0),
    ):
        monkeypatch.setattr(module, name, seconds)


@asynccontextmanager
async def broken(pair: Pair, proxy: Proxy, outage: str) -> AsyncIterator[None]:
    """The outage, with changes waiting; mended at the end."""
    match outage:
        case "source down":
            fault: dict[str, Any] = {"operation": "change_feed", "status": 503}
        case "throttled":
            fault = {"operation": "change_feed", "status": 429, "retry_after_ms": 100}
        case _:
            fault = {}
    if fault:
        await pair.world.fault(**fault)
    elif outage == "target down":
        proxy.down()
    await pair.lines(20, cart="new")
    yield
    if fault:
        await pair.world.heal()
    elif outage == "target down":
        proxy.up()


@contextmanager
def cuttable(url: str) -> Any:
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    with proxy_to(parts.hostname, parts.port) as proxy:
        proxy.up()
        place = f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{proxy.port}"
        yield proxy, urlunsplit(parts._replace(netloc=place))


@pytest.mark.parametrize("outage", OUTAGES[:3])
async def test_an_outage_rings_and_its_end_ends_it(
    emulator: EmulatorServer, database_url: str, outage: str
) -> None:
    with cuttable(database_url) as (proxy, url):
        async with paired(emulator, database_url) as pair:
            pair.values["database_url"] = url
            await pair.lines(20)
            async with pair.host() as service:
                await until(lambda: not ringing(service), seconds=PATIENCE_SECONDS)
                async with broken(pair, proxy, outage):
                    await until(lambda: ringing(service) >= RING, seconds=PATIENCE_SECONDS)
                await until(lambda: not ringing(service), seconds=PATIENCE_SECONDS)


async def test_ranges_that_nobody_reads_ring_on_every_host(
    emulator: EmulatorServer, database_url: str
) -> None:
    async with paired(emulator, database_url) as pair:
        await pair.lines(20)
        pair.values["max_leases"] = 1
        async with pair.host() as service:
            await until(lambda: service.metrics.owned._value.get() == 1, seconds=PATIENCE_SECONDS)
            await until(lambda: ringing(service) >= RING, seconds=PATIENCE_SECONDS)
            assert service._fleet.diagnosis().health is health.Health.UNKNOWN
            del pair.values["max_leases"]
            pair.values["min_leases"] = 3
            async with pair.host() as other:
                await until(
                    lambda: not ringing(service) and not ringing(other), seconds=PATIENCE_SECONDS
                )
            # All of them were read; the ranges of the host that left belong to nobody now.
            await until(lambda: ringing(service) >= RING, seconds=PATIENCE_SECONDS)
            assert service._fleet.diagnosis().health is health.Health.NOT_ADVANCING


def test_no_number_is_compared_with_one_that_may_be_unknown() -> None:
    page = PAGE.read_text("utf-8")
    unknown = set(re.findall(r"^\| `(\w+)` .*NaN while unknown", page, re.MULTILINE))
    assert unknown
    assert not {name for name in unknown if any(name in text for text in alarms().values())}
