"""What a verify counts."""

from __future__ import annotations

from projector.ports.rows import DocumentKey, DriftKind
from projector.ports.verification import Difference
from projector.reconcile.report import EXAMPLES, Tally


def differences(count: int) -> list[Difference]:
    return [
        Difference(
            key=DocumentKey(partition_key='"c"', id=str(number)),
            kind=DriftKind.MISSING,
            detail=str(number),
        )
        for number in range(count)
    ]


def test_the_first_differences_are_kept_and_all_are_counted() -> None:
    one, other = Tally(documents=1, pending=2), Tally(documents=3, changing=1)
    one.add_drift(differences(EXAMPLES - 1))
    other.add_drift(differences(5))
    other.add_unmended(differences(5))
    one.add(other)
    assert (one.documents, one.pending, one.changing) == (4, 2, 1)
    assert one.drift[DriftKind.MISSING] == EXAMPLES + 4
    assert [len(one.examples), len(one.unmended)] == [EXAMPLES, 5]
