"""The words of the commands that come in groups: `leases`, `quarantine`, `rebuild`, `db`, `bi`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from projector.ports.generations import FillSource
from projector.projection.chosen import DEFINITION

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
GenerationOption = Annotated[
    int | None,
    typer.Option(
        "--generation", metavar="N", min=1, help="Of that generation, and not of the live one."
    ),
]
EntryId = Annotated[int, typer.Argument(metavar="ID", help="The id that `quarantine list` shows.")]

quarantine = typer.Typer(help="Look at the documents that could not be projected.")
rebuild = typer.Typer(
    help="Make the copy anew beside the live one, compare it, and let readers see it."
)
database = typer.Typer(
    help="Bring the PostgreSQL schema up to date, or show its version.", no_args_is_help=False
)
bi = typer.Typer(help="Give analysts what their tools need.")


@quarantine.command(name="list")
def list_entries(
    *,
    status: Annotated[
        str, typer.Option("--status", help="open, discarded, closed or all.")
    ] = "open",
    reason: Annotated[
        str | None, typer.Option("--reason", help="Only entries with this reason.")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            f"--{DEFINITION.noun}",
            metavar=DEFINITION.key.column.upper(),
            help=f"Only entries of this {DEFINITION.noun}.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the documents that could not be projected, and why."""
    from projector.cli import quarantine as action

    action.list_all(status=status, reason=reason, key=key, as_json=as_json)


@quarantine.command()
def show(entry_id: EntryId, *, as_json: JsonOption = False) -> None:
    """Show one entry in full: its document as it came, and the last good row."""
    from projector.cli import quarantine as action

    action.show(entry_id, as_json=as_json)


@quarantine.command()
def discard(entry_id: EntryId, *, as_json: JsonOption = False) -> None:
    """Set an entry aside for good: this version of the document stays discarded, also on replays."""
    from projector.cli import quarantine as action

    action.discard(entry_id, as_json=as_json)


@quarantine.command()
def reopen(entry_id: EntryId, *, as_json: JsonOption = False) -> None:
    """Take a discarded entry up again, so that it is counted and retried."""
    from projector.cli import quarantine as action

    action.reopen(entry_id, as_json=as_json)


@quarantine.command()
def retry(
    entry_id: Annotated[
        int | None, typer.Argument(metavar="ID", help="The id that `quarantine list` shows.")
    ] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Retry all open entries.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Read documents anew from the container and apply them as they are now."""
    from projector.cli import quarantine as action

    action.retry(entry_id, everything=everything, as_json=as_json)


ForceOption = Annotated[
    bool,
    typer.Option("--force", help="Promote it although it differs; what differs is recorded."),
]


@rebuild.command()
def start(
    *,
    promote: Annotated[
        bool,
        typer.Option(
            "--promote", help="Let readers see it when it is proven equal to the container."
        ),
    ] = False,
    force: ForceOption = False,
    why: Annotated[
        str | None, typer.Option("--why", metavar="TEXT", help="What for; kept in its history.")
    ] = None,
    source: Annotated[
        FillSource | None,
        typer.Option("--source", help="What it is loaded from; the setting says which by default."),
    ] = None,
    begins: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="NAME|FILE",
            help="Read the feed from saved bookmarks on: what was not changed since is left out.",
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Stay until it is filled and follows.")
    ] = True,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only say what would change, break and be spent."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a new generation beside the live one."""
    from projector.cli import rebuild as action

    if dry_run:
        action.foresee(as_json=as_json)
        return
    request = action.Request(promote=promote, force=force, wait=wait, as_json=as_json)
    action.start(request=request, why=why, source=source, begins=begins)


@rebuild.command()
def fill(
    *,
    processes: Annotated[
        int, typer.Option(min=1, max=64, help="So many processes of this machine.")
    ] = 1,
) -> None:
    """Work on the first load, beside the hosts that do."""
    from projector.cli import rebuild as action

    action.fill(processes=processes)


@rebuild.command(name="status")
def rebuild_status(
    *,
    as_json: JsonOption = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again every two seconds.")
    ] = False,
) -> None:
    """Show how far the rebuild is that is under way."""
    from projector.cli import rebuild as action

    action.status(as_json=as_json, watch=watch)


@rebuild.command(name="promote")
def promote_rebuild(*, force: ForceOption = False, as_json: JsonOption = False) -> None:
    """Compare the new generation, and let readers see it; exit code 3 when it differs."""
    from projector.cli import rebuild as action

    action.promote(force=force, as_json=as_json)


@rebuild.command()
def rollback(*, as_json: JsonOption = False) -> None:
    """Let readers see the former generation again."""
    from projector.cli import rebuild as action

    action.roll_back(as_json=as_json)


@rebuild.command()
def abort(*, as_json: JsonOption = False) -> None:
    """Give up the new generation; the live one stays."""
    from projector.cli import rebuild as action

    action.abort(as_json=as_json)


@rebuild.command(name="list")
def list_generations(*, as_json: JsonOption = False) -> None:
    """Show all generations and their history."""
    from projector.cli import rebuild as action

    action.list_all(as_json=as_json)


@database.command()
def upgrade(*, as_json: JsonOption = False) -> None:
    """Bring the schema to the newest version; `projector run` does it too."""
    from projector.cli import database as action

    action.upgrade(as_json=as_json)


@database.command()
def current(*, as_json: JsonOption = False) -> None:
    """Show the schema's version and the newest one."""
    from projector.cli import database as action

    action.current(as_json=as_json)


@bi.command()
def dbt(
    *,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder of the package; made when missing.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Write a dbt package: the views as sources with tests, a semantic model, examples."""
    from projector.cli import bi as action

    action.dbt(out, as_json=as_json)


@bi.command()
def grant(
    role: Annotated[str, typer.Argument(metavar="ROLE", help="The login; made when missing.")],
    *,
    connections: Annotated[
        int, typer.Option("--connections", min=1, help="Sessions at a time.")
    ] = 5,
    statement_seconds: Annotated[
        int, typer.Option("--timeout", min=1, help="Seconds that one statement may take.")
    ] = 300,
    idle_seconds: Annotated[
        int, typer.Option("--idle", min=1, help="Seconds of silence inside a transaction.")
    ] = 60,
    new_password: Annotated[
        bool, typer.Option("--new-password", help="Draw a new one for a login that is there.")
    ] = False,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read it from standard input.")
    ] = False,
    no_password: Annotated[
        bool, typer.Option("--no-password", help="Leave it to certificates, peer or Entra.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Let a login read the views, within limits, and nothing else."""
    from projector.cli import bi as action

    action.grant(
        role,
        bounds=(connections, statement_seconds, idle_seconds),
        password=action.password_of(from_stdin=password_stdin, none=no_password, new=new_password),
        as_json=as_json,
    )


@bi.command()
def revoke(
    role: Annotated[str, typer.Argument(metavar="ROLE", help="Whom to let in no longer.")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Take a login back; one that `bi grant` made is dropped."""
    from projector.cli import bi as action

    action.revoke(role, as_json=as_json)
