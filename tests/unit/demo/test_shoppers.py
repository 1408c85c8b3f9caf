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
    assert shoppers.open_lines == sum("ttl" not in document for document in newest.values())


def test_shoppers_add_change_and_remove() -> None:
    documents = deeds(2, 300)
    first = {document["id"]: index for index, document in reversed(list(enumerate(documents)))}
    changed = [d for index, d in enumerate(documents) if first[d["id"]] < index and "ttl" not in d]
    removed = [d for d in documents if "ttl" in d]
    assert changed
    assert removed
    assert len(first) > 50
