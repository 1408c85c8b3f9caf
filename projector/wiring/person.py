"""Who types a command, as far as the machine knows."""

from __future__ import annotations

import getpass
import os
import socket


def person() -> str:
    """The user and the machine; in a container that has no name for its user, the number."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # KeyError: before Python 3.13
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
