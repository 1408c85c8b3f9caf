from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from structlog.testing import capture_logs

from projector.housekeeping import Housekeeping, Job, Postponed
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.housekeeping import housekeeping_runs
from projector.wiring.housekeeping import DatabaseTurns
from tests.integration.verify.support import Pair, until

SHORT = timedelta(seconds=0.2)
HOUR = timedelta(hours=1)
SUCCEEDED = "SELECT count(*) FROM projector.housekeeping_runs WHERE last_success_at IS NOT NULL"
VERIFIED = f"{SUCCEEDED} AND job = 'verify'"
RETRIED = f"{SUCCEEDED} AND job = 'retry'"


@pytest.fixture
async def connections(database_url: str) -> AsyncIterator[Connections]:
    async with Connections(ConnectionOptions(url=database_url)) as opened:
        yield opened


@asynccontextmanager
async def kept(
    connections: Connections, *jobs: Job, look_seconds: float = 0.05
) -> AsyncIterator[None]:
    """Housekeeping of one host beside the block."""
    turns = DatabaseTurns(connections=connections)
    work = Housekeeping(jobs=jobs, turns=turns, look_seconds=look_seconds).run()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(work)
        try:
            yield
        finally:
            running.cancel()


class Counted:
    """A job's work that counts its runs."""

    def __init__(self, *, seconds: float = 0.0, failing: Exception | None = None) -> None:
        self.runs = 0
        self.at_once = 0
        self._seconds = seconds
        self._failing = failing

    async def __call__(self) -> Mapping[str, Any]:
        self.runs += 1
        self.at_once += 1
        assert self.at_once == 1
        await asyncio.sleep(self._seconds)
        self.at_once -= 1
        if self._failing is not None:
            raise self._failing
        return {"runs": self.runs}


async def test_a_job_runs_at_the_start_and_whenever_it_is_due(connections: Connections) -> None:
    work = Counted()
    async with kept(connections, Job(name="purge", every=SHORT, work=work)):
        await until(lambda: work.runs >= 3)
    runs = await housekeeping_runs(connections)
    assert runs[0].job == "purge"
    assert runs[0].result is not None


async def test_a_deploy_neither_starves_nor_repeats_a_job(connections: Connections) -> None:
    work, marker = Counted(), Counted()
    job = Job(name="verify", every=HOUR, work=work)
    for number in range(3):
        beside = Job(name=f"beside-{number}", every=HOUR, work=marker)
        before = marker.runs
        async with kept(connections, job, beside):
            await until(partial(_both_ran, marker, before, work))
    assert work.runs == 1
    async with connections.session() as session:
        await session.execute(
            "UPDATE projector.housekeeping_runs SET last_success_at = now() - interval '61 minutes'"
            " WHERE job = 'verify'"
        )
    async with kept(connections, job):
        await until(lambda: work.runs == 2)


async def test_of_several_hosts_one_does_the_job(connections: Connections) -> None:
    work = Counted(seconds=0.1)
    job = Job(name="verify", every=HOUR, work=work)
    marker = Counted()
    async with (
        kept(connections, job),
        kept(connections, job, Job(name="marker", every=SHORT, work=marker)),
        kept(connections, job),
    ):
        await until(lambda: work.runs >= 1 and marker.runs >= 2)
    assert work.runs == 1


async def test_a_failing_job_is_reported_and_disturbs_no_other(connections: Connections) -> None:
    bad, good = Counted(failing=ValueError("no luck")), Counted()
    with capture_logs() as logs:
        async with kept(
            connections,
            Job(name="bad", every=HOUR, work=bad),
            Job(name="good", every=SHORT, work=good),
        ):
            await until(lambda: bad.runs == 1 and good.runs >= 3)
    assert [
        (one["job"], one["error"]) for one in logs if one["event"] == "housekeeping_failed"
    ] == [("bad", "ValueError: no luck")]
    assert bad.runs == 1, "it waits a while before it tries again"
    runs = {one.job: one for one in await housekeeping_runs(connections)}
    assert runs["bad"].last_error == "ValueError: no luck"
    assert runs["bad"].last_success_at is None


async def test_a_job_that_is_cut_short_counts_as_no_success(connections: Connections) -> None:
    work = Counted(seconds=60)
    async with kept(connections, Job(name="verify", every=HOUR, work=work)):
        await until(lambda: work.runs == 1)
    run = (await housekeeping_runs(connections))[0]
    assert (run.last_success_at, run.last_error) == (None, None)
    assert run.postponed == "it was cut short"


async def test_a_postponed_job_is_said_and_not_reported_as_failed(
    connections: Connections,
) -> None:
    work = Counted(failing=Postponed("a replay is under way"))
    with capture_logs() as logs:
        async with kept(connections, Job(name="verify", every=HOUR, work=work)):
            await until(lambda: any("postponed" in one["event"] for one in logs))
    assert not [one for one in logs if one["log_level"] == "warning"]
    assert work.runs == 1, "it waits a while before it tries again"
    (run,) = await housekeeping_runs(connections)
    assert (run.last_success_at, run.last_error) == (None, None)
    assert run.postponed == "a replay is under way"


async def test_a_host_verifies_its_copy_by_itself_and_says_what_differs(pair: Pair) -> None:
    await pair.lines(10)
    await pair.world.write("bad", "bad", item="pear", quantity="many")
    await pair.drain()
    await pair.sql("UPDATE projector_g1.cart_items SET quantity = 9 WHERE id = 'line-3'")
    with capture_logs() as logs:
        async with pair.host():
            await until(lambda: _is(pair, RETRIED, 1))
            await until(lambda: any("consistent" in one for one in logs))
    told = [one for one in logs if one.get("job") == "verify" and "consistent" in one]
    assert [one["log_level"] for one in told] == ["warning"]
    result = await pair.value("SELECT result FROM projector.housekeeping_runs WHERE job = 'verify'")
    assert (result["consistent"], result["stale"]) == (False, 1)
    assert result["examples"] == ["quantity is 9, not 2"]
    retried = await pair.value("SELECT result FROM projector.housekeeping_runs WHERE job = 'retry'")
    assert retried == {"still_rejected": 1}


async def test_a_host_mends_its_copy_where_that_is_wanted(pair: Pair) -> None:
    await pair.lines(10)
    await pair.drain()
    await pair.sql("DELETE FROM projector_g1.cart_items WHERE id = 'line-3'")
    pair.values["housekeeping_repair"] = True
    async with pair.host():
        await until(lambda: _is(pair, VERIFIED, 1))
    assert await pair.value("SELECT count(*) FROM carts.cart_items") == 10
    assert (await pair.verify()).consistent


def _both_ran(marker: Counted, before: int, work: Counted) -> bool:
    return marker.runs > before and work.runs >= 1


async def _is(pair: Pair, statement: str, expected: object) -> bool:
    return bool(await pair.value(statement) == expected)
