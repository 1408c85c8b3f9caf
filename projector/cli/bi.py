"""`projector bi`: what analysts and their tools are given."""

from __future__ import annotations

from pathlib import Path

from projector.bi.package import files_of
from projector.cli.entry import enter, prepared_to_look
from projector.cli.failures import UsageError
from projector.cli.lines import answer
from projector.cli.output import print_json
from projector.wiring import commands


def dbt(folder: Path, *, as_json: bool) -> None:
    """Writes the package; a file of ours that is there is written anew, others are left alone."""
    settings = prepared_to_look()
    files = files_of(enter(lambda: commands.live_generation(settings)))
    try:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be written ({error.strerror}): name a folder of yours with --out"
        ) from error
    if as_json:
        print_json({"folder": str(folder), "files": sorted(files)})
        return
    answer(f"{len(files)} files are in {folder}: dbt build --project-dir {folder}")
