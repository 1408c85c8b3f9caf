from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from projector.projection.project import fold
from projector.projection.writes import Batch, ProjectedPage, RowWrite
from tests.carts import number_of, project_page
from tests.unit.projection.documents import document, finished, page, row

KINDS = ['"quantity": 2', '"ttl": 5', '"quantity": "bad"', '"cartId": 5', '"quantity": NaN']


def change(lsn: int) -> bytes:
    """A version of one of few documents; each LSN is one version and no other."""
    kind = random.Random(lsn)
    members = f'"id": "{kind.choice("ab")}", {kind.choice(KINDS)}'
    return document(
        members if "cartId" in members else f'"cartId": "{kind.choice("cd")}", {members}',
        lsn=lsn,
        ts=lsn,
    )


VERSIONS = st.lists(st.integers(1, 200), max_size=20)


def projected(changes: Sequence[int]) -> ProjectedPage:
    return project_page(page([change(lsn) for lsn in changes]))


def seen(batch: Batch) -> tuple[object, ...]:
    return [row(w) for w in batch.writes], batch.rejections, batch.newest_ts


@given(VERSIONS, st.randoms(use_true_random=False))
def test_fold_does_not_depend_on_the_order(changes: list[int], shuffler: random.Random) -> None:
    mixed = list(changes)
    shuffler.shuffle(mixed)

    assert seen(fold([projected(mixed)])) == seen(fold([projected(changes)]))


@given(VERSIONS, st.lists(st.integers(0, 20), max_size=4))
def test_fold_does_not_depend_on_the_cut_into_pages(changes: list[int], cuts: list[int]) -> None:
    borders = [0, *sorted(cuts), len(changes)]
    parts = [changes[a:b] for a, b in pairwise(borders)]

    batch = fold([projected(part) for part in parts])

    assert seen(batch) == seen(fold([projected(changes)]))
    assert batch.delivered == len([lsn for part in parts for lsn in part])


@given(VERSIONS, VERSIONS)
def test_folding_a_fold_again_with_repetitions_changes_nothing(
    changes: list[int], later: list[int]
) -> None:
    once = fold([projected(changes)])
    again = ProjectedPage(writes=once.writes, rejections=once.rejections, newest_ts=once.newest_ts)

    assert seen(fold([again, again])) == seen(once)
    assert seen(fold([again, projected(later), again])) == seen(fold([projected(changes + later)]))


@given(VERSIONS)
def test_fold_keeps_exactly_the_newest_version_of_each_document(changes: list[int]) -> None:
    batch = fold([projected(changes)])
    newest: dict[tuple[str, str], tuple[int, bool]] = {}
    for lsn in sorted(changes):
        one = projected([lsn])
        for write in one.writes:
            newest[write.key, write.id] = (lsn, bool(one.rejections))

    assert {(w.key, w.id): w.lsn for w in batch.writes} == {
        key: lsn for key, (lsn, _) in newest.items()
    }
    assert {(r.key, r.id): r.lsn for r in batch.rejections if r.key is not None} == {
        key: lsn for key, (lsn, rejected) in newest.items() if rejected
    }


@given(st.lists(st.tuples(st.text(min_size=1), st.text(min_size=1)), unique=True))
def test_writes_are_sorted_as_postgresql_sorts_bytes(keys: list[tuple[str, str]]) -> None:
    good = [(c.replace("\0", "."), i.replace("\0", ".")) for c, i in keys]
    writes = tuple(RowWrite(c, i, epk=0, lsn=n, ts=0, etag="") for n, (c, i) in enumerate(good))

    batch = fold([ProjectedPage(writes=writes)])

    found = [(w.key.encode(), w.id.encode()) for w in batch.writes]
    assert found == sorted({(c.encode(), i.encode()) for c, i in good})


def test_later_of_two_equal_versions_wins() -> None:
    first, second = document('"quantity": 1', lsn=5), document('"quantity": 2', lsn=5)

    for pages in ([[first, second]], [[first], [second]]):
        batch = fold([project_page(page(part)) for part in pages])
        assert [number_of(w, "quantity") for w in batch.writes] == [b"2"]


def test_rejection_stays_with_its_own_tombstone_and_goes_with_a_newer_version() -> None:
    bad, same = document('"quantity": []', lsn=5), document(lsn=5)
    good, gone = document(lsn=6), document('"ttl": 1', lsn=6)

    def rejections(*documents: bytes) -> int:
        return len(fold([project_page(page(documents))]).rejections)

    assert rejections(bad) == 1
    assert rejections(document(lsn=4), bad) == 1
    assert rejections(bad, good) == 0
    assert rejections(good, bad) == 0
    assert rejections(bad, gone) == 0
    assert rejections(bad, same) == 0


def test_rejection_without_its_tombstone_outlives_an_older_write() -> None:
    found = project_page(page([document(lsn=4), document('"quantity": []', lsn=5)]))
    alone = ProjectedPage(rejections=found.rejections)

    assert fold([ProjectedPage(writes=found.writes[:1]), alone]).rejections == found.rejections
    assert fold([alone]).rejections == found.rejections


def test_rejections_without_a_key_are_kept_apart_and_the_newest_stays() -> None:
    number = document('"cartId": 5', lsn=3)
    text = document('"cartId": "5"', lsn=4)
    newer = document('"cartId": 5', lsn=9)
    other = finished(b"5", lsn=2)

    batch = fold([project_page(page([newer, number, text, other]))])

    assert [w.key for w in batch.writes] == ["5"]
    assert sorted((r.partition_key, r.lsn) for r in batch.rejections) == [("5", 9), ("\\", 2)]


def test_nothing_folds_to_nothing() -> None:
    assert fold([]) == Batch()
    assert fold([ProjectedPage(delivered=0)]) == Batch()
