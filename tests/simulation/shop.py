"""What shoppers and operators of a simulated history do to the container, one step at a time.

Few carts and few ids, so that steps meet each other, most of them of the kind that something on the way
reads in another way (see `tests.wild`); every document that was ever deleted
outright or given a time to live is remembered, because the feed may never show that it went.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from cosmos_emulator import Engine
from cosmos_emulator.container import Container
from cosmos_emulator.documents import ItemKey
from cosmos_emulator.errors import EmulatorError
from cosmos_emulator.ttl import NEVER
from tests import wild
from tests.simulation.loop import choose
from tests.simulation.ports import CART, DATABASE
from tests.simulation.trade import Trade

_CARTS, _IDS = 9, 5

_STEPS: dict[str, float] = {
    "write": 10,
    "patch": 3,
    "soft_delete": 3,
    "undelete": 2,
    "hard_delete": 2,
    "bad_document": 1.5,
    "batch": 1,
    "expire": 1,
    "split": 0.25,
    "merge": 0.25,
    "restore": 0.15,
    "clock": 0.2,
    "recreate_document": 1,
    "default_ttl": 0.3,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """Keys whose LSNs went back from `reached`."""

    minimum: str
    maximum: str
    reached: int


class Shop:
    """Makes one change at a time to the cart container of an engine."""

    def __init__(self, engine: Engine, random: Random, trade: Trade) -> None:
        self._engine = engine
        self._trade = trade
        self._random = random
        # Drawn apart, so that a new wild text leaves the rest of a history as it was.
        names = Random(random.random())
        self._carts = names.sample(wild.IDS, _CARTS)
        self._ids = names.sample(wild.IDS, _IDS)
        self.unseen_ends: set[tuple[str, str]] = set()
        self._restores: list[Restored] = []
        self._came_back: set[ItemKey] = set()
        self.story: list[str] = []

    @property
    def container(self) -> Container:
        return self._engine.container(DATABASE, CART)

    def hidden(self) -> set[ItemKey]:
        """Items that a restore numbered anew, or that were written since, below a place of before it.

        Whoever polls in that time sees that the LSN went back; nobody can see it afterwards. (The
        service restores to another container, so that it never comes to this.) And items
        that expired under a default time to live and came back when it was taken back. A reset or a
        repair must still bring them.
        """
        return self._came_back | {
            document.key
            for one in self._restores
            for document in self.container.documents(one.minimum, one.maximum)
            if document.lsn <= one.reached
        }

    def numbered_anew(self, epk: str) -> bool:
        """Whether a restore, or another container, has set the numbers of that place back."""
        return any(one.minimum <= epk < one.maximum for one in self._restores)

    def begin_anew(self) -> None:
        """The container is another one."""
        self._restores.append(Restored(minimum="", maximum="FF", reached=0))

    def step(self) -> None:
        """Do one thing, chosen by the seed; refusals of the service are part of life."""
        name = choose(self._random, _STEPS)
        act: Callable[[], str] = getattr(self, f"_{name}")
        try:
            told = act()
        except EmulatorError as error:
            told = f"refused {error.status}"
        self.story.append(f"{name}: {told}")

    def _key(self) -> tuple[str, str]:
        return self._random.choice(self._carts), self._random.choice(self._ids)

    def _document(self, key: tuple[str, str]) -> dict[str, Any]:
        random = self._random
        document = {"id": key[1], self._trade.key_field: key[0], **self._trade.line(random)}
        if random.random() < 0.3:
            document["note"] = random.choice(["gift", "été", {"deep": [1, None]}])
        return document

    def write(self) -> None:
        """Write a good document."""
        key = self._key()
        self.container.upsert(self._document(key))
        self.story.append(f"write at once: {key}")

    def _write(self) -> str:
        key = self._key()
        self.container.upsert(self._document(key))
        return str(key)

    def _patch(self) -> str:
        cart, item = self._key()
        self.container.patch(item, cart, {"operations": [self._trade.patch(self._random)]})
        return f"{cart}/{item}"

    def _soft_delete(self) -> str:
        key = self._key()
        seconds = self._random.choice([1, 3, 60, 600])
        self.container.upsert({**self._document(key), "ttl": seconds})
        self.unseen_ends.add(key)
        return f"{key} ttl {seconds}"

    def _undelete(self) -> str:
        key = self._key()
        document = self._document(key)
        if self._random.random() < 0.3:
            document["ttl"] = -1
        self.container.upsert(document)
        return str(key)

    def _hard_delete(self) -> str:
        cart, item = self._key()
        self.container.delete(item, cart)
        self.unseen_ends.add((cart, item))
        return f"{cart}/{item}"

    def _recreate_document(self) -> str:
        cart, item = self._key()
        self.unseen_ends.add((cart, item))
        self.container.delete(item, cart)
        self.container.create(self._document((cart, item)))
        return f"{cart}/{item}"

    def _bad_document(self) -> str:
        cart, item = self._key()
        document = self._document((cart, item))
        raw = self._random.choice(self._trade.spoiled(document))
        self.container.upsert_raw(raw)
        return f"{cart}/{item}"

    def _batch(self) -> str:
        cart = self._random.choice(self._carts)
        ids = self._random.sample(self._ids, 3)
        operations = [
            {"operationType": "Upsert", "resourceBody": self._document((cart, item))}
            for item in ids
        ]
        self.container.batch(operations, cart)
        return f"{cart}/{ids}"

    def _expire(self) -> str:
        return f"purged {self._engine.purge()}"

    def _default_ttl(self) -> str:
        """Set by mistake: whatever is there may end unseen, and more with each purge."""
        if self.container.definition["defaultTtl"] != NEVER:
            return self.take_back()
        seconds = self._random.choice([1, 30, 300])
        self.container.purges_itself = self._random.random() < 0.5
        self.container.redefine({**self.container.definition, "defaultTtl": seconds})
        self.unseen_ends |= {(cart, item) for cart in self._carts for item in self._ids}
        return f"{seconds} s"

    def take_back(self) -> str:
        """No default any more: what was not removed yet is there again, with its old version."""
        container = self.container
        before = {document.key for document in container.documents()}
        container.purges_itself = True
        container.redefine({**container.definition, "defaultTtl": NEVER})
        back = {document.key for document in container.documents()} - before
        self._came_back |= back
        return f"taken back, {len(back)} came back"

    def _split(self) -> str:
        partitions = self.container.partitions()
        if len(partitions) > 6:
            return "enough"
        chosen = self._random.choice(partitions).range_id
        return f"{chosen} -> {self.container.split(chosen)}"

    def _merge(self) -> str:
        pair = self._neighbours()
        return f"{pair} -> {self.container.merge(pair)}" if pair else "nothing to merge"

    def _restore(self) -> str:
        pair = self._neighbours()
        if not pair:
            return "nothing to restore"
        lsn = sum(1 for _ in self.container.documents()) + self._random.randint(1, 5)
        parents = [self.container.partition(range_id) for range_id in pair]
        one = Restored(
            minimum=parents[0].minimum,
            maximum=parents[1].maximum,
            reached=max(parent.lsn for parent in parents),
        )
        self._restores.append(one)
        return f"{pair} -> {self.container.merge(pair, lsn=lsn)} at {lsn}"

    def _neighbours(self) -> list[str]:
        partitions = self.container.partitions()
        if len(partitions) < 3:
            return []
        first = self._random.randrange(len(partitions) - 1)
        return [partitions[first].range_id, partitions[first + 1].range_id]

    def _clock(self) -> str:
        self._engine.offset_seconds += self._random.choice([-30, -1, 1, 30])
        return f"offset {self._engine.offset_seconds}"
