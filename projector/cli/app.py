"""The tree of commands, and `main`, the one place where a failure becomes a line and a code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer
import typer.main

from projector.cli import database, demo, doctor, emulator, leases, quarantine, status, verify
from projector.cli import explain as explaining
from projector.cli import run as running
from projector.cli.failures import ExitCode, report

DEBUG_OPTION = "--debug"

app = typer.Typer(
    name="projector",
    help="Keeps a PostgreSQL copy of an Azure Cosmos DB container exactly right, live.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(running.run)
app.command()(demo.demo)
app.command()(emulator.emulator)
app.command()(status.status)
app.command()(verify.verify)
app.command(name="explain")(explaining.explain_cart)
app.command()(doctor.doctor)
app.add_typer(leases.app, name="leases")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(database.app, name="db")


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    *,
    debug: Annotated[
        bool, typer.Option(DEBUG_OPTION, help="Show the traceback of a failure.")
    ] = False,
    show_version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.")
    ] = False,
) -> None:
    """Keeps a PostgreSQL copy of an Azure Cosmos DB container exactly right, live."""
    del debug  # taken out of the arguments by `run`, so that it may stand anywhere
    if show_version:
        print(_version())
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(ExitCode.USAGE)


def _version() -> str:
    try:
        return version("cosmos-projector")
    except PackageNotFoundError:  # run from its source, as in the image
        return "unknown (not installed as a package)"


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code; never raises."""
    debug = DEBUG_OPTION in arguments
    rest = [argument for argument in arguments if argument != DEBUG_OPTION]
    try:
        outcome = typer.main.get_command(app).main(
            rest, prog_name="projector", standalone_mode=False
        )
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last place that can explain it
        return report(error, debug=debug)
    return outcome if isinstance(outcome, int) else ExitCode.SUCCESS


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))
