"""Session tokens: `<range id>:-1#<lsn>`, alone or in a comma separated list.

Source: the session tokens that azure-cosmos reads and sends.
"""

from __future__ import annotations

from cosmos_emulator.texts import whole_number


def session_token(range_id: str, lsn: int) -> str:
    """The token that stands for everything up to `lsn` of a range."""
    return f"{range_id}:-1#{lsn}"


def session_lsn(token: str | None, range_id: str) -> int | None:
    """Returns the LSN that a request has seen of a range, None when it names none."""
    for entry in (token or "").split(","):
        owner, _, rest = entry.strip().partition(":")
        if owner == range_id:
            parts = rest.split("#")
            number = parts[1] if len(parts) > 1 else parts[0]
            return whole_number(number)
    return None
