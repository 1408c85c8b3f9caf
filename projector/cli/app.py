"""The tree of commands, and `main`, the one place where a failure becomes a line and a code.

Imports follow use: this module and `groups` know each command's words alone. What a command does,
and with it the drivers of both databases, is imported when the command is called, so that help,
version and a mistyped option answer at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
import typer.main

from projector import __version__
from projector.cli import groups, leases_group
from projector.cli.failures import ExitCode, report
from projector.cli.groups import JsonOption
from projector.cli.lines import answer, suit_any_terminal
from projector.projection.chosen import DEFINITION

DEBUG_OPTION = "--debug"
MAX_PARTITIONS = 1000
MAX_ENTRIES = 1_000_000

app = typer.Typer(
    name="projector",
    help="Keeps a PostgreSQL copy of an Azure Cosmos DB container exactly right, live.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - how the library calls it
    if wanted:
        answer(__version__)
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    *,
    debug: Annotated[
        bool, typer.Option(DEBUG_OPTION, help="Show the traceback of a failure.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", is_eager=True, callback=_show_version
        ),
    ] = False,
) -> None:
    """Keeps a PostgreSQL copy of an Azure Cosmos DB container exactly right, live."""
    # `debug` is taken out of the arguments by `run_line`, so that it may stand anywhere; the version
    # is shown before any command is looked for.
    del debug, version
    if context.invoked_subcommand is None:
        for line in context.get_help().split("\n"):
            answer(line)
        raise typer.Exit(ExitCode.USAGE)


@app.command()
def run(
    *,
    until_caught_up: Annotated[
        bool,
        typer.Option(
            "--until-caught-up",
            help="End when everything there is now has been read by whoever owns it.",
        ),
    ] = False,
    migrate: Annotated[
        bool, typer.Option("--migrate/--no-migrate", help="Bring the schema up to date first.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Acquire leases, project, checkpoint, until Ctrl-C or SIGTERM."""
    from projector.cli import run as action

    action.run(until_caught_up=until_caught_up, migrate=migrate, as_json=as_json)


@app.command()
def demo(
    *,
    seconds: Annotated[
        float | None, typer.Option(min=1, help="Stop by itself after so long a show.")
    ] = None,
) -> None:
    """Watch carts turn into totals: emulator, PostgreSQL, host and shoppers in one terminal."""
    from projector.cli import demo as action

    action.demo(seconds=seconds)


@app.command()
def emulator(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes any free one.")] = 8081,
    partitions: Annotated[
        int, typer.Option(min=1, max=MAX_PARTITIONS, help="Physical partitions of a new container.")
    ] = 4,
    https: Annotated[
        bool, typer.Option("--https", help="Serve https with a self-signed certificate.")
    ] = False,
) -> None:
    """Run the embedded Cosmos-compatible server alone; everything is kept in memory."""
    from projector.cli import emulator as action

    action.emulator(host=host, port=port, partitions=partitions, https=https)


@app.command()
def status(
    *,
    as_json: JsonOption = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again every two seconds.")
    ] = False,
    details: Annotated[
        bool, typer.Option("--details", help="Show all that is known of each range.")
    ] = False,
) -> None:
    """Show health, owner, gap, lag and state of every range, the worst first."""
    from projector.cli import status as action

    action.status(as_json=as_json, watch=watch, with_details=details)


@app.command()
def health(*, as_json: JsonOption = False) -> None:
    """Say whether the copy can be believed now; exit code 1 when it cannot, or nobody knows."""
    from projector.cli import health as action

    action.health(as_json=as_json)


@app.command()
def verify(
    *,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what differs, by reading each document anew.")
    ] = False,
    generation: groups.GenerationOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare PostgreSQL with the container both ways; exit code 3 when they differ."""
    from projector.cli import verify as action

    action.verify(repair=repair, generation=generation, as_json=as_json)


@app.command(
    help=f"Show the documents, rows, positions and last decisions of one {DEFINITION.noun}, and why."
)
def explain(
    key: Annotated[
        str,
        typer.Argument(
            metavar=DEFINITION.key.column.upper(),
            help=f"The {DEFINITION.key.name} of the {DEFINITION.noun}.",
        ),
    ],
    *,
    as_json: JsonOption = False,
) -> None:
    """`projector explain`, in the words of the definition."""
    from projector.cli import explain as action

    action.explain_key(key, as_json=as_json)


@app.command()
def timeline(
    *,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="WHEN",
            help="From 90m, 12h, 3d or 2w ago, or a time such as 2026-01-31T00:00:00Z.",
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=MAX_ENTRIES, help="The newest so many.")
    ] = 100,
    as_json: JsonOption = False,
) -> None:
    """Show what happened to the copy, and who did it, the newest last."""
    from projector.cli import timeline as action

    action.timeline(since=since, limit=limit, as_json=as_json)


@app.command()
def doctor(*, as_json: JsonOption = False) -> None:
    """Check endpoint, rights, containers, PostgreSQL and clocks; exit code 1 when something is missing."""
    from projector.cli import health as action

    action.doctor(as_json=as_json)


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def psql(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="PSQL_ARGUMENTS", help="For example -c 'SELECT ...'."),
    ] = None,
) -> None:
    """Open psql on the copy, the embedded one too; arguments go to psql as they are."""
    from projector.cli import database as action

    action.psql(arguments or [])


app.add_typer(leases_group.leases, name="leases")
app.add_typer(groups.quarantine, name="quarantine")
app.add_typer(groups.rebuild, name="rebuild")
app.add_typer(groups.database, name="db")
app.add_typer(groups.bi, name="bi")


def run_line(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code; never raises."""
    debug = DEBUG_OPTION in arguments
    rest = [argument for argument in arguments if argument != DEBUG_OPTION]
    try:
        outcome = typer.main.get_command(app).main(
            rest, prog_name="projector", standalone_mode=False
        )
    except (
        BrokenPipeError
    ):  # whoever read the answer has seen enough, as in `projector status | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILURE
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last place that can explain it
        return report(error, debug=debug)
    return outcome if isinstance(outcome, int) else ExitCode.SUCCESS


def main() -> None:
    """The console script."""
    suit_any_terminal()
    sys.exit(run_line(sys.argv[1:]))
