"""The words of the command group `leases`."""

from __future__ import annotations

from typing import Annotated

import typer

from projector.cli.groups import JsonOption

RangeOption = Annotated[
    str | None, typer.Option("--range", metavar="TOKEN", help="Only the lease of this token.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
TimeOption = Annotated[
    str | None,
    typer.Option("--to", metavar="TIME", help="Read again what was changed since, not everything."),
]

leases = typer.Typer(
    help="Look at the leases, release or reset them, save and restore their bookmarks."
)


@leases.command(name="list")
def list_leases(*, as_json: JsonOption = False) -> None:
    """Show the leases as they are stored."""
    from projector.cli import leases as action

    action.list_leases(as_json=as_json)


@leases.command()
def release(*, token: RangeOption = None, as_json: JsonOption = False) -> None:
    """Take the owner out of leases, so that any host may acquire them at once."""
    from projector.cli import leases as action

    action.release(token=token, as_json=as_json)


@leases.command()
def reset(
    *,
    token: RangeOption = None,
    to: TimeOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    accept_new_source: Annotated[
        bool,
        typer.Option(
            "--accept-new-source", help="Follow a container that was deleted and created again."
        ),
    ] = False,
    accept_other_source: Annotated[
        str | None,
        typer.Option(
            "--accept-other-source",
            metavar="ACCOUNT/DATABASE/CONTAINER",
            help="Make the database a copy of another container, the one that the settings name.",
        ),
    ] = None,
    accept_new_projection: Annotated[
        bool,
        typer.Option(
            "--accept-new-projection", help="Read the container again under another filter."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make running and future hosts replay from the start position, or from a time."""
    from projector.cli import bookmarks
    from projector.cli import leases as action

    if to is not None:
        if accept_new_source or accept_other_source or accept_new_projection:
            raise typer.BadParameter("what is accepted is read from its start: leave out --to")
        manner = bookmarks.Manner(token=token, dry_run=dry_run, yes=yes, as_json=as_json)
        bookmarks.reset_to(to, manner)
        return

    action.reset(
        token=token,
        dry_run=dry_run,
        yes=yes,
        new_source=accept_new_source,
        other_source=accept_other_source,
        new_projection=accept_new_projection,
        as_json=as_json,
    )


@leases.command()
def snapshot(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Keep it in PostgreSQL under this name.")
    ] = None,
    *,
    out: Annotated[
        str | None, typer.Option("--out", metavar="FILE", help="Write it to a file, too.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Write over what is there under that name.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Save how far every range was read."""
    from projector.cli import bookmarks as action

    action.snapshot(name, out=out, over=replace, as_json=as_json)


@leases.command()
def snapshots(
    *,
    remove: Annotated[
        list[str] | None,
        typer.Option("--remove", metavar="NAME", help="Remove this one; may be given again."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the snapshots that PostgreSQL keeps, or remove some."""
    from projector.cli import bookmarks as action

    action.snapshots(remove=remove or [], as_json=as_json)


@leases.command()
def restore(
    snapshot: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE", help="A file is told by a / in its path, or by its ending .json."
        ),
    ],
    *,
    token: RangeOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make running and future hosts read on from where they stood when it was saved."""
    from projector.cli import bookmarks as action

    manner = action.Manner(token=token, dry_run=dry_run, yes=yes, as_json=as_json)
    action.restore(snapshot, manner)
