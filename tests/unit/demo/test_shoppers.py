from __future__ import annotations

import random
from typing import Any

from projector.demo.shoppers import Shoppers


def deeds(seed: int, count: int) -> list[dict[str, Any]]:
    shoppers = Shoppers(chance=random.Random(seed))
    return [dict(shoppers.next_deed().document) for _ in range(count)]


def test_the_same_seed_shops_the_same() -> None:
    assert deeds(5, 100) == deeds(5, 100) != deeds(6, 100)


def test_shoppers_remember_exactly_the_lines_that_are_not_soft_deleted() -> None:
    shoppers = Shoppers(chance=random.Random(1))
    newest: dict[str, dict[str, Any]] = {}
    for _ in range(500):
        document = dict(shoppers.next_deed().document)
        newest[document["id"]] = document
    good = [d for d in newest.values() if "ttl" not in d and isinstance(d["quantity"], int)]
    assert shoppers.open_lines == len(good)


def test_shoppers_add_change_and_remove() -> None:
    documents = deeds(2, 300)
    first = {document["id"]: index for index, document in reversed(list(enumerate(documents)))}
    changed = [d for index, d in enumerate(documents) if first[d["id"]] < index and "ttl" not in d]
    removed = [d for d in documents if "ttl" in d]
    assert changed
    assert removed
    assert len(first) > 50


def test_a_blunder_is_mended_before_the_next_one() -> None:
    broken: set[str] = set()
    for document in deeds(3, 1000):
        if isinstance(document["quantity"], str):
            assert not broken
            broken.add(document["id"])
        else:
            broken.discard(document["id"])
