"""What the service does and the emulator does not: refused with 501, so that no test believes in it.

What would change nothing that a client sees, such as priorities or the directives of an index, is passed
over instead. README.md lists both.
"""

from __future__ import annotations

from cosmos_emulator.errors import EmulatorError
from cosmos_emulator.wire import Call

RESOURCES = frozenset(
    {
        "addresses",
        "attachments",
        "clientencryptionkeys",
        "conflicts",
        "permissions",
        "sprocs",
        "triggers",
        "udfs",
        "users",
    }
)
"""Parts of a path that name a kind of resource which there is not."""

HEADERS = frozenset(
    {
        "x-ms-documentdb-post-trigger-include",
        "x-ms-documentdb-pre-trigger-include",
        "x-ms-end-id",
        "x-ms-start-id",
    }
)
"""Headers of a request that ask for something else than it gives without them."""


def check_offered(call: Call) -> None:
    """Refuses a request that wants what there is not."""
    kind = next((part for part in call.segments[::2] if part in RESOURCES), None)
    name = kind or next((each for each in sorted(HEADERS) if call.headers.get(each)), None)
    if name is not None:
        raise EmulatorError(
            501, 0, f"The emulator does not do {name}; README.md says what it does."
        )
