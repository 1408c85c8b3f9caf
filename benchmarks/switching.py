"""Rebuild, gate, promotion and rollback at a size, beside readers and steady writes.

One host with default settings serves the live generation, fills the next one and follows both, while documents
are written at a steady rate. One wrong row is planted: the gate has to name it. Then readers look at all views,
each time in one snapshot, while the next generation is promoted and the views go back and forth.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg

from benchmarks.account import Account, Finished, emulator, running
from benchmarks.documents import MARK, Document, Shop
from benchmarks.findings import Finding, Report, Target, Unit
from benchmarks.reading import Seen
from benchmarks.suite import Suite
from benchmarks.target import WrongResult, check_totals

CONTAINER = "switched"
READERS = 50
WHOLE = 2
SWITCHES = 4
TICK_SECONDS = 0.1
NEXT = "projector_g2"
REFUSED = 3

PLANT = f"""
UPDATE {NEXT}.cart_items SET quantity = quantity + %s
WHERE (cart_id, id) = (%s, %s) AND NOT deleted"""  # noqa: S608 - our own names
MARKED_ROW = f"""
COPY {NEXT}.cart_items (epk, lsn, ts, lineage, deleted, cart_id, id, item, quantity, etag)
FROM STDIN"""
ALONE = "SELECT set_config('projector.copied', 'alone', false)"


@dataclass(kw_only=True)
class Trade:
    """Writes at a steady rate, in a thread, for as long as the block lasts."""

    account: Account
    shop: Shop
    rate: int
    written: int = 0
    seconds: float = 0.0
    _stopping: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def going_on(self, kept: list[Document]) -> Iterator[None]:
        """Change lines of those, which leaves their keys there."""
        thread = threading.Thread(target=self._run, args=(kept,))
        thread.start()
        try:
            yield
        finally:
            self.stop()
            thread.join()

    def stop(self) -> None:
        """Write no more."""
        self._stopping.set()

    def _run(self, kept: list[Document]) -> None:
        per_tick, began, tick = round(self.rate * TICK_SECONDS), time.perf_counter(), 0
        while not self._stopping.is_set():
            start = tick * per_tick % (len(kept) - per_tick)
            self.account.load(CONTAINER, self.shop.changed(kept[start : start + per_tick]))
            self.written += per_tick
            tick += 1
            time.sleep(max(0.0, began + tick * TICK_SECONDS - time.perf_counter()))
        self.seconds = time.perf_counter() - began


class Command:
    """`projector` with the settings of the host, each time a process of its own."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._settings = settings

    def run(self, *arguments: str, code: int = 0) -> Finished:
        """Run it to its end.

        Raises: WrongResult when it ends with another code.
        """
        with running(["-m", "projector", *arguments], self._settings) as process:
            ended = process.wait()
        if ended.code != code:
            said = ended.output + ended.errors
            raise WrongResult(f"{arguments} ended with {ended.code}: {said[-500:]}")
        return ended

    def until_told(self, *arguments: str) -> float:
        """Run it to its end; how many seconds it took until it told its result."""
        began = time.perf_counter()
        with running(["-m", "projector", *arguments], self._settings) as process:
            told = process.process.stdout.readline() if process.process.stdout else ""
            took = time.perf_counter() - began
            process.wait().expect_success()
        if not told:
            raise WrongResult(f"{arguments} told nothing")
        return took


async def switching(suite: Suite) -> Report:
    """One run over one size."""
    return await asyncio.to_thread(_run, suite)


def _run(suite: Suite) -> Report:
    sizes, shop = suite.sizes, Shop(9)
    documents = shop.carts(sizes.switching)
    with emulator() as account, suite.server.database() as url:
        account.create(CONTAINER, documents)
        settings = account.settings(container=CONTAINER, url=url, run="switched")
        command = Command(settings)
        command.run("run", "--until-caught-up")
        suite.say(f"{len(documents):,} documents are live")
        trade = Trade(account=account, shop=shop, rate=sizes.writes_per_second)
        with (
            running(["-m", "projector", "run"], settings) as host,
            trade.going_on(documents[:2000]),
        ):
            began = time.perf_counter()
            command.run("rebuild", "start", "--why", "measured")
            suite.say(f"filled beside the live one in {time.perf_counter() - began:.1f} s")
            refused = _planted(suite, command, url, documents[-1])
            with running(
                ["-m", "benchmarks.reading", f"{READERS}", f"{WHOLE}"], settings
            ) as readers:
                began = time.perf_counter()
                command.run("rebuild", "promote")
                promoted = time.perf_counter() - began
                suite.say(f"compared and promoted in {promoted:.1f} s")
                _mark(url)
                switches = [_back(suite, command) for _ in range(SWITCHES)]
                seen = Seen(**json.loads(readers.stop().expect_success().output))
            trade.stop()
            host.stop().expect_success()
        check_totals(url)
    return Report(
        case="switching",
        findings=_findings(
            suite, trade, seen, refused=refused, promoted=promoted, switches=switches
        ),
    )


def _planted(suite: Suite, command: Command, url: str, document: Document) -> float:
    """One wrong row: the gate names it and leaves the live generation alone; how many seconds that took."""
    _plant(url, document, 1)
    began = time.perf_counter()
    said = command.run("rebuild", "promote", code=REFUSED)
    took = time.perf_counter() - began
    suite.say("one wrong row: " + (said.output + said.errors).strip().splitlines()[0])
    if document["id"] not in said.output + said.errors:
        raise WrongResult(f"the planted row was not named: {said.output}{said.errors}")
    _plant(url, document, -1)
    return took


def _plant(url: str, document: Document, more: int) -> None:
    with psycopg.connect(url) as connection:
        planted = connection.execute(PLANT.encode(), [more, document["cartId"], document["id"]])
        if planted.rowcount != 1:
            raise WrongResult(f"{planted.rowcount} rows were planted")


def _mark(url: str) -> None:
    """A line that the source does not know, counted in its totals: by it readers tell the generations apart."""
    with psycopg.connect(url) as connection:
        connection.execute(ALONE.encode())
        with connection.cursor().copy(MARKED_ROW.encode()) as copy:
            copy.write(f"1\t1\t1\t0\tf\t{MARK}\t{MARK}\t{MARK}\t1\te\n")


def _back(suite: Suite, command: Command) -> float:
    """The other generation is shown; how many seconds more than a command that only looks."""
    began = time.perf_counter()
    command.run("rebuild", "list")
    start = time.perf_counter() - began
    took = command.until_told("rebuild", "rollback")
    suite.say(f"rolled back in {took:.2f} s; a command that only looks takes {start:.2f} s")
    return max(0.0, took - start)


def _findings(
    suite: Suite,
    trade: Trade,
    seen: Seen,
    *,
    refused: float,
    promoted: float,
    switches: list[float],
) -> list[Finding]:
    size = f"{suite.sizes.switching:,} documents"
    return [
        Finding(
            measure=f"looks of {READERS} readers that failed or were wrong",
            target=Target(must=0, at_most=True),
            rounds=[float(seen.wrong)],
            unit=Unit.NUMBER,
            remark="; ".join(seen.first)
            or f"{seen.looks:,} looks, {seen.marked:,} at the next one",
        ),
        Finding(
            measure=f"writes per second meanwhile, of {trade.rate}",
            target=Target(must=0.95 * trade.rate),
            rounds=[trade.written / trade.seconds],
            unit=Unit.NUMBER,
        ),
        Finding(
            measure=f"`rebuild rollback`, {size}, beyond the start of a command",
            target=Target(must=1000, at_most=True),
            rounds=[seconds * 1000 for seconds in switches],
            unit=Unit.MILLISECONDS,
        ),
        Finding(
            measure=f"`rebuild promote`, {size}, compared and switched",
            target=Target(),
            rounds=[promoted * 1000],
            unit=Unit.MILLISECONDS,
        ),
        Finding(
            measure=f"`rebuild promote` refused, one wrong row among {size}",
            target=Target(),
            rounds=[refused * 1000],
            unit=Unit.MILLISECONDS,
        ),
    ]
