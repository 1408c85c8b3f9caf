"""The one way of the command line to print: what a stranger wrote is a text and nothing more.

No line beside the answer shows a secret. Standard output bears the answer, standard error everything else.
"""

from __future__ import annotations

import io
import sys

from projector.core.secrets import scrubbed
from projector.core.texts import printable


def suit_any_terminal() -> None:
    """What a terminal's encoding lacks is shown as its escape instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def answer(line: str) -> None:
    """Prints a line of the answer: what was asked for, so a text of the copy stays as it is."""
    print(printable(line), flush=True)


def say(line: str) -> None:
    """Tells the person at the terminal something that is not part of the answer."""
    print(printable(scrubbed(line)), file=sys.stderr, flush=True)
