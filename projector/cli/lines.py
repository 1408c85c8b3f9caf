"""The one way of the command line to print: what a stranger wrote is a text and nothing more.

No line beside the answer shows a secret. Standard output bears the answer, standard error everything else.
"""

from __future__ import annotations

import io
import sys
from typing import TextIO

from projector.core.secrets import scrubbed
from projector.core.texts import printable
from projector.telemetry.outlet import Outlet, error_outlet, outlet

ORDER_SECONDS = 0.2
"""How long a line may wait for its reader before the command goes on."""


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
    _put(line, error_outlet())


def last_word(line: str) -> None:
    """Prints the answer of a host that has ended; nobody has to read it."""
    _put(line, outlet(sys.stdout))


def _put(line: str, stream: TextIO | Outlet) -> None:
    """Keeps the order of both outputs as far as somebody reads them."""
    stream.write(f"{printable(scrubbed(line))}\n")
    stream.flush()
    if isinstance(stream, Outlet):
        stream.drain(ORDER_SECONDS)
