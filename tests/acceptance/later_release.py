"""The program of a later release: one step more of the schema, which the folder in `LATER_MIGRATIONS` holds.

Run as `python -m tests.acceptance.later_release` it is the whole command line with those migrations.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from projector.postgres import schema

STEP = """
from alembic import op

revision, down_revision = "{next}", "{last}"


def upgrade() -> None:
    op.execute("ALTER TABLE projector.housekeeping_runs ADD COLUMN more text")
"""


def one_step_more(folder: Path) -> str:
    """Make its migrations there; its number."""
    last = schema.head()
    number = f"{int(last) + 1:04}"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(schema.migrations_folder(), folder, ignore=ignored)
    step = STEP.replace("{next}", number).replace("{last}", last)
    (folder / "versions" / f"{number}_expand_more.py").write_text(step)
    return number


def main() -> None:
    """The console script of that release."""
    folder = Path(os.environ["LATER_MIGRATIONS"])
    vars(schema)["migrations_folder"] = lambda: folder
    from projector.cli.app import main as program  # noqa: PLC0415 - of this release from the first import on

    program()


if __name__ == "__main__":
    main()
