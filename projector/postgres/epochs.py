"""Where epochs come from.

A sequence orders them. Chance tells them apart: a database that fails over to a standby without its
last commits gives out the same numbers again, to other hosts and other ranges, and whoever still holds
an epoch of the lost history must not be taken for their owner.
"""

from __future__ import annotations

EPOCH_BITS = 20
"""How many bits of an epoch are left to chance."""

_NEXT = (
    f"((nextval('projector.epochs') << {EPOCH_BITS}) + floor(random() * {2**EPOCH_BITS})::bigint)"
)


def with_epochs(text: str) -> str:
    """The text with `{next_epoch}` filled in: above all that this database has given out."""
    return text.replace("{next_epoch}", _NEXT)
