"""`projector rebuild`: a new generation made beside the live one, compared, promoted, or given up.

The command decides nothing and keeps nothing: hosts fill and feed the generation, the registry says how far
it is, so whoever interrupts the command loses the sight of it and nothing else.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

import typer
from rich.console import Console

from projector.cli.bookmarks import saved
from projector.cli.entry import Stopping, enter, enter_until_stopped, prepared_to_look
from projector.cli.failures import ExitCode, UsageError, root_cause
from projector.cli.leases import costs
from projector.cli.lines import answer, say
from projector.cli.output import print_json, print_table
from projector.cli.progress import shown_progress
from projector.cli.rebuild_page import Waits, line, page, shown, to_stderr
from projector.cli.rebuild_words import (
    COLUMNS,
    generation_document,
    generation_row,
    range_row,
    refusal,
    standing,
    status_document,
)
from projector.core.errors import FeedError, LeaseError, SinkError
from projector.operations import rebuild
from projector.operations.definition_changes import changes, differs
from projector.operations.forecast import Forecast
from projector.operations.generations import (
    TO_ABORT,
    TO_FOLLOW,
    TO_PROMOTE,
    being_made,
    live_of,
    meant,
)
from projector.operations.rebuild import Sides, Verdict
from projector.operations.rebuild_progress import Meter, Progress
from projector.ports.generations import FillSource, GenerationRecord, GenerationState
from projector.postgres.beside import beside
from projector.processor.clock import SystemClock
from projector.settings import Settings
from projector.wiring import rebuilds
from projector.wiring.presence import person

WATCH_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """How far a rebuild is to be carried."""

    promote: bool
    force: bool = False
    wait: bool = True
    as_json: bool = False


def start(
    *, request: Request, why: str | None, source: FillSource | None, begins: str | None = None
) -> None:
    """Make a new generation, have it filled, and with `promote` bring it to the readers."""
    if request.force and not request.promote:
        raise UsageError("--force is about a promotion: say --promote, too")
    if begins is not None and source is FillSource.SCAN:
        raise UsageError("a scan reads all documents: leave out --from, or --source scan")
    settings = prepared_to_look()
    to = None if begins is None else saved(settings, begins)
    if to is not None:
        source = FillSource.FEED

    async def command() -> int:
        async with rebuilds.opened(settings, clock=SystemClock()) as opened:
            records = await opened.sides.records()
            wish = rebuild.Wish(
                definition=settings.projection.definition,
                who=person(),
                why=why,
                source=opened.source if source is None else source,
                begins=to,
            )
            record = await rebuild.start(opened.sides, wish, waits=Waits().tell)
            with _told_how_to_go_on(record):
                for told in _begun(record, live_of(records)):
                    say(told)
                with suppress(FeedError):  # whoever waits for the account does so below
                    say(f"it reads the container once more: {await opened.foreseen()}")
                if request.wait or request.promote:
                    return await _carry(opened, record, request)
            if request.as_json:
                print_json({"generation": generation_document(record), "promoted": False})
            else:
                answer(f"generation {record.id} is being made; follow it: {TO_FOLLOW}")
            return ExitCode.SUCCESS

    _leave(enter(command))


def foresee(*, as_json: bool) -> None:
    """Say what a rebuild would change, break and cost; nothing is touched."""
    settings = prepared_to_look()
    mine = settings.projection.definition

    async def command() -> tuple[GenerationRecord, Forecast]:
        async with rebuilds.opened(settings, clock=SystemClock()) as opened:
            live = await rebuild.may_start(opened.sides, mine)
            return live, await opened.foreseen()

    live, expected = enter(command)
    told = changes(live.definition, mine) if differs(live, mine) else []
    if as_json:
        print_json({"live": live.id, "changes": list(told), **costs(expected)})
        return
    answer(
        f"beside generation {live.id}; {', '.join(told) or 'of the same definition'}; nothing would break"
    )
    answer(f"it would read the container once more: {expected}")


def promote(*, force: bool, as_json: bool) -> None:
    """Wait until the new generation is caught up, compare it, and make it live."""
    settings = prepared_to_look()

    async def command() -> int:
        async with rebuilds.opened(settings, clock=SystemClock()) as opened:
            record = meant(await opened.sides.records())
            return await _carry(opened, record, Request(promote=True, force=force, as_json=as_json))

    _leave(enter(command))


def status(*, as_json: bool, watch: bool) -> None:
    """Show how far the rebuild is that is under way."""
    settings = prepared_to_look()
    if watch and not as_json:
        enter_until_stopped(lambda stopping: _watch(settings, stopping), notice="")
        return

    async def command() -> tuple[Sequence[GenerationRecord], Progress | None]:
        async with rebuilds.opened(settings, clock=SystemClock()) as opened:
            return await opened.sides.records(), await _measured(opened.sides, Meter())

    records, progress = enter(command)
    if as_json:
        print_json(status_document(records, progress))
        return
    if progress is None:
        answer(standing(records))
        return
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(page(progress))
        return
    answer(line(progress))
    rows = [range_row(one) for one in progress.ranges]
    if rows:
        print_table(rows, tuple(rows[0]), nothing="")


def list_all(*, as_json: bool) -> None:
    """Show all generations, the newest first: who, why, when, how many, how long, what was found."""
    settings = prepared_to_look()

    async def command() -> Sequence[GenerationRecord]:
        async with rebuilds.opened(settings, clock=SystemClock()) as opened:
            return await opened.sides.records()

    records = enter(command)
    if as_json:
        print_json({"generations": [generation_document(one) for one in records]})
        return
    print_table([generation_row(one) for one in records], COLUMNS, nothing="there is none")


def roll_back(*, as_json: bool) -> None:
    """Make the former generation live again."""
    settings = prepared_to_look()

    async def command() -> None:
        async with rebuilds.opened(settings, clock=SystemClock()) as opened:
            sides = opened.sides
            now_live, left = await rebuild.roll_back(sides, who=person(), waits=Waits().tell)
            if as_json:
                print_json({"live": now_live.id, "former": left.id})
            else:
                answer(
                    f"generation {now_live.id} is live again; generation {left.id} is fed still, and may"
                    " come back the same way: projector rebuild rollback"
                )

    enter(command)


def abort(*, as_json: bool) -> None:
    """Give up the generation that is being made."""
    settings = prepared_to_look()

    async def command() -> GenerationRecord:
        async with rebuilds.opened(settings, clock=SystemClock()) as opened:
            return await rebuild.abort(opened.sides, who=person(), waits=Waits().tell)

    record = enter(command)
    if as_json:
        print_json({"aborted": record.id})
        return
    answer(
        f"generation {record.id} is given up and dropped, by housekeeping what is in use now; the live one was"
        " not touched"
    )


def fill(*, processes: int) -> None:
    """Work on the first load of the generation that is being made, with so many processes."""
    settings = prepared_to_look()

    async def command() -> GenerationRecord:
        async with rebuilds.opened(settings, clock=SystemClock()) as opened:
            record = meant(await opened.sides.records())
            if record.state is GenerationState.FILLING:
                async with _more_processes(processes - 1):
                    await _filled(opened, record)
            return record

    record = enter(command)
    answer(f"generation {record.id} is filled; hosts follow the feed for it")


async def _filled(opened: rebuilds.Opened, record: GenerationRecord) -> None:
    """Fill, and show how far all are."""
    with shown(to_stderr()) as tell:
        async with beside(_show(opened.sides, tell), name="rebuild:progress"):
            await opened.fill(record)


async def _show(sides: Sides, tell: Callable[[Progress], object]) -> None:
    meter = Meter()
    while (progress := await _measured(sides, meter)) is not None:
        tell(progress)
        await sides.clock.sleep(rebuild.LOOK_SECONDS)


@asynccontextmanager
async def _more_processes(count: int) -> AsyncIterator[None]:
    """So many more of them for the body; what ails one of them, its part tells."""
    line = (sys.executable, "-m", "projector", "rebuild", "fill")
    quiet = asyncio.subprocess.DEVNULL
    started = [
        await asyncio.create_subprocess_exec(*line, stdin=quiet, stdout=quiet, stderr=quiet)
        for _ in range(count)
    ]
    try:
        yield
    finally:
        for process in started:
            if process.returncode is None:
                process.terminate()
        for process in started:
            await process.wait()


@contextmanager
def _told_how_to_go_on(record: GenerationRecord) -> Iterator[None]:
    """Whoever interrupts the command, or loses a server, loses the sight of it alone, and is told so."""
    try:
        yield
    except BaseException as error:
        if isinstance(
            root_cause(error), asyncio.CancelledError | SinkError | FeedError | LeaseError
        ):
            say(
                f"generation {record.id} stays, and hosts that run go on with it; to go on here: {TO_PROMOTE};"
                f" to only look: {TO_FOLLOW}; to give it up: {TO_ABORT}"
            )
        raise


async def _carry(opened: rebuilds.Opened, record: GenerationRecord, request: Request) -> int:
    """Wait, compare, promote: as far as it was asked for."""
    async with opened.hands(say):
        return await _carried(opened.sides, record, request)


async def _carried(sides: Sides, record: GenerationRecord, request: Request) -> int:
    with shown(to_stderr()) as tell:
        record = await rebuild.caught_up(sides, generation=record.id, tell=tell)
    if not request.promote:
        if request.as_json:
            print_json({"generation": generation_document(record), "promoted": False})
        else:
            answer(
                f"generation {record.id} is filled and follows; nobody reads it yet; make it live: {TO_PROMOTE}"
            )
        return ExitCode.SUCCESS
    say(f"generation {record.id} is caught up; it is compared with the container")
    with shown_progress() as on_compared:
        verdict = await rebuild.judged(sides, record, on_compared=on_compared)
    if not verdict.open and not request.force:
        return _refused(verdict, as_json=request.as_json)
    with shown(to_stderr()) as tell:
        await rebuild.promote(sides, verdict, who=person(), tell=tell, waits=Waits().tell)
    await _promoted(sides, verdict, as_json=request.as_json)
    return ExitCode.SUCCESS


def _refused(verdict: Verdict, *, as_json: bool) -> int:
    if as_json:
        print_json(_verdict_document(verdict, promoted=False))
    else:
        for told in refusal(verdict):
            answer(told)
    return ExitCode.DRIFT


async def _promoted(sides: Sides, verdict: Verdict, *, as_json: bool) -> None:
    if as_json:
        print_json(_verdict_document(verdict, promoted=True))
        return
    if not verdict.open:
        for told in verdict.compared.lines:
            answer(told)
        answer(f"forced, and recorded: {'; '.join(verdict.against)}")
    answer(standing(await rebuild.registered(sides)))


def _verdict_document(verdict: Verdict, *, promoted: bool) -> dict[str, object]:
    return {
        "generation": generation_document(verdict.record),
        "promoted": promoted,
        "against": list(verdict.against),
        "found": dict(verdict.compared.counts),
        "differences": list(verdict.compared.lines),
    }


def _begun(record: GenerationRecord, live: GenerationRecord) -> Sequence[str]:
    told = [
        f"generation {record.id} is being made beside generation {live.id}, which readers go on to see"
    ]
    if differs(live, record.definition):
        told_changes = ", ".join(changes(live.definition, record.definition))
        told.append(f"its definition differs: {told_changes}")
    return told


async def _measured(sides: Sides, meter: Meter) -> Progress | None:
    """One look at what is being made; None when nothing is."""
    record = being_made(await sides.records())
    if record is None:
        return None
    look = await sides.look(record)
    return meter.measured(look, now=sides.clock.monotonic(), lag_seconds=sides.lag_seconds)


async def _watch(settings: Settings, stopping: Stopping) -> None:
    async with rebuilds.opened(settings, clock=SystemClock()) as opened:
        meter = Meter()
        with shown(Console(highlight=False), each=WATCH_SECONDS, put=answer) as tell:
            while not stopping.requested:
                progress = await _measured(opened.sides, meter)
                if progress is None:
                    break
                tell(progress)
                await stopping.wait(WATCH_SECONDS)
        if not stopping.requested:
            answer(standing(await opened.sides.records()))


def _leave(code: int) -> None:
    sys.stdout.flush()
    if code:
        raise typer.Exit(code)
