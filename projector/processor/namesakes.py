"""Tells other hosts of our own name from a former run of this one.

A lease in our name that does not run here is, at first, one of before a restart: it is taken back at
once. When whoever holds it writes it again, or has taken it from us, that run is alive: it is another
host, counted and treated as one, so that leases come to rest between the two.
Source: .NET v3 change feed processor, where two hosts of one name take each other's leases for ever.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from projector.core.lease import Lease
from projector.core.names import Holder, LeaseToken


@dataclass(slots=True, kw_only=True)
class Namesakes:
    """What the listings of one host have shown so far."""

    me: Holder
    _alive: set[str] = field(default_factory=set)
    _seen: dict[LeaseToken, tuple[str, str | None]] = field(default_factory=dict)

    def marked(self, leases: Sequence[Lease], held: Collection[LeaseToken]) -> Sequence[Lease]:
        """The leases, with those of namesakes marked as a rival's.

        Args:
            leases: a listing.
            held: leases that this run ever took.
        """
        theirs = [one for one in leases if one.owned_by(self.me.name) and not one.held_by(self.me)]
        for lease in theirs:
            before = self._seen.get(lease.token)
            written_again = (
                before is not None and before[0] == lease.incarnation and before[1] != lease.etag
            )
            if written_again or lease.token in held:
                self._alive.add(lease.incarnation)
        self._seen = {one.token: (one.incarnation, one.etag) for one in theirs}
        rivals = {one.token for one in theirs if one.incarnation in self._alive}
        if not rivals:
            return leases
        return [
            replace(one, rival=one.incarnation) if one.token in rivals else one for one in leases
        ]
