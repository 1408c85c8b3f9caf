"""Numbers and dates in headers, read strictly: what a client wrote is never an error of the server."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime

_WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)


def whole_number(text: str) -> int | None:
    """Returns the number; None for anything else, digits of other scripts and longer ones too."""
    return int(text) if _WHOLE.fullmatch(text) else None


def moment(text: str) -> float | None:
    """Returns an HTTP date in Unix seconds; None for what is none."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, OSError):
        return None
