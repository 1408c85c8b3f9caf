"""What starting a command costs, in CPU time, against loading both drivers and nothing else.

The database is there and nothing waits in the container, so a run has nothing to do; each process
is measured by the CPU time of all its threads. The yardstick runs beside each, in the same round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.account import emulator, running
from benchmarks.findings import Finding, Report, Target
from benchmarks.suite import Suite

CONTAINER = "idle"
YARDSTICK = ("-c", "import azure.cosmos.aio, psycopg")
ROUNDS = 5
COMMANDS: Mapping[str, tuple[Sequence[str], float]] = {
    "--help": (("--help",), 0.7),
    "a mistyped option": (("status", "--jsno"), 1.0),
    "status": (("status",), 4.0),
    "an empty run --until-caught-up": (("run", "--until-caught-up"), 5.0),
}
"""What is called, and how many times the yardstick it may cost."""


async def starting(suite: Suite) -> Report:
    """Each command against the yardstick, some rounds."""
    found: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with emulator() as account, suite.server.database() as url:
        account.create(CONTAINER, [])
        settings = account.settings(container=CONTAINER, url=url, run="starting")
        _seconds(["-m", "projector", "run", "--until-caught-up"], settings)
        for number in range(ROUNDS):
            suite.say(f"round {number + 1}: starting")
            for name, (arguments, _) in COMMANDS.items():
                bare = _seconds(YARDSTICK, settings)
                found[name].append(_seconds(["-m", "projector", *arguments], settings) / bare)
    return Report(
        case="starting",
        findings=[
            Finding(
                measure=f"CPU time of {name} against loading both drivers",
                target=Target(must=must, at_most=True),
                rounds=found[name],
            )
            for name, (_, must) in COMMANDS.items()
        ],
    )


def _seconds(arguments: Sequence[str], settings: Mapping[str, str]) -> float:
    with running(arguments, settings) as process:
        return process.wait().cpu_seconds
