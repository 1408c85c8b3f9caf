from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projector.core.versions import Version, supersedes

VERSIONS = st.builds(Version, lineage=st.integers(0, 3), lsn=st.integers(0, 5))


@pytest.mark.parametrize(
    ("incoming", "stored", "expected"),
    [
        pytest.param((0, 5), None, True, id="first"),
        pytest.param((0, 5), (0, 4), True, id="newer"),
        pytest.param((0, 5), (0, 5), False, id="repeated"),
        pytest.param((0, 4), (0, 5), False, id="older"),
        pytest.param((1, 1), (0, 5), True, id="lower LSN of a newer lineage"),
        pytest.param((0, 9), (1, 1), False, id="higher LSN of an older lineage"),
    ],
)
def test_newest_version_wins(
    incoming: tuple[int, int], stored: tuple[int, int] | None, expected: bool
) -> None:
    new = Version(lineage=incoming[0], lsn=incoming[1])
    old = None if stored is None else Version(lineage=stored[0], lsn=stored[1])

    assert supersedes(new, old) is expected


@given(VERSIONS, VERSIONS)
def test_of_two_different_versions_exactly_one_wins(one: Version, other: Version) -> None:
    assert supersedes(one, other) + supersedes(other, one) == (one != other)


@given(st.lists(VERSIONS, min_size=1), st.randoms(use_true_random=False))
def test_any_order_of_arrival_leaves_the_newest(versions: list[Version], shuffler: object) -> None:
    stored: Version | None = None
    for version in sorted(versions, key=lambda _: shuffler.random()):  # type: ignore[attr-defined]  # a Random
        stored = version if supersedes(version, stored) else stored

    assert stored == max(versions)
