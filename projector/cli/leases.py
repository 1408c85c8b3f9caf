"""`projector leases`: look at the leases, release them, reset them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from projector.cli.context import prepared_to_look
from projector.cli.entry import enter
from projector.cli.output import print_json, print_table, say
from projector.core.lease import Lease
from projector.processor.clock import SystemClock
from projector.settings import Settings
from projector.wiring import leases
from projector.wiring.account import account

COLUMNS = ("lease_token", "feed_range", "owner", "continuation", "timestamp")
RangeOption = Annotated[
    str | None, typer.Option("--range", metavar="TOKEN", help="Only the lease of this token.")
]

app = typer.Typer(help="Look at the leases, release them, or reset them.")


@app.command(name="list")
def list_leases(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False
) -> None:
    """Show the leases as they are stored."""
    settings = prepared_to_look()
    found = enter(lambda: _leases(settings))
    if as_json:
        print_json({"leases": [_document(lease) for lease in found]})
        return
    print_table([_row(lease) for lease in found], COLUMNS, nothing="there are no leases yet")


@app.command()
def release(*, token: RangeOption = None) -> None:
    """Take the owner out of leases, so that any host may acquire them at once."""
    settings = prepared_to_look()

    async def command() -> Sequence[leases.Done]:
        clock = SystemClock()
        async with account(settings, clock=clock) as opened:
            found = leases.chosen(await opened.leases.list_leases(), token)
            return await leases.release(opened.leases, found, now=clock.now())

    for done in enter(command):
        owner = done.lease.owner or "nobody"
        print(
            f"lease {done.lease.token}: "
            + (f"released from {owner}" if done.changed else "had no owner")
        )


async def _leases(settings: Settings) -> Sequence[Lease]:
    async with account(settings, clock=SystemClock()) as opened:
        return await opened.leases.list_leases()


def _document(lease: Lease) -> dict[str, Any]:
    feed_range = lease.feed_range
    return {
        "lease_token": lease.token,
        "feed_range": None
        if feed_range is None
        else {"min": feed_range.min, "max": feed_range.max},
        "owner": lease.owner,
        "continuation": lease.continuation,
        "timestamp": lease.timestamp,
    }


def _row(lease: Lease) -> dict[str, object]:
    return {
        **_document(lease),
        "feed_range": None if lease.feed_range is None else str(lease.feed_range),
        "owner": lease.owner or "nobody",
        "continuation": lease.continuation or "none",
    }


def confirmed(question: str, *, yes: bool) -> bool:
    """Whether a person agrees; asked only on a terminal."""
    if yes:
        return True
    if not sys.stdin.isatty():
        return False
    say(question)
    return typer.confirm("Go on?", err=True)
