"""Shoppers who add, change and soft-delete cart lines: what to do next, decided from a seed.

Pure: a `Shoppers` only decides; the demo carries the deeds out against the emulator. A soft delete
is the document with a positive `ttl`, as the contract of cart documents has it.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

SOFT_DELETE_TTL_SECONDS = 10
MAX_LINES = 5
BLUNDERS, ADDS, CHANGES = 0.03, 0.5, 0.8
"""Cumulated shares of what happens; the rest is taken out of the carts."""
CATALOG: Mapping[str, tuple[str, str]] = {
    "Surface Pro": ("1099.00", "EUR"),
    "Surface Book": ("1899.50", "EUR"),
    "Arc Mouse": ("79.99", "EUR"),
    "Desk Lamp": ("34.90", "EUR"),
    "Headphones": ("249.00", "EUR"),
    "Coffee Beans 1 kg": ("18.75", "EUR"),
    "Notebook A5": ("6.20", "EUR"),
    "Standing Desk": ("549.00", "EUR"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of one cart, as the shoppers remember it."""

    id: str
    cart_id: str
    item: str
    quantity: int

    def document(self, *, ttl_seconds: int | None = None) -> dict[str, Any]:
        """The cart document; with `ttl_seconds` the one that deletes it softly."""
        price, currency = CATALOG[self.item]
        body = {
            "id": self.id,
            "cartId": self.cart_id,
            "item": self.item,
            "quantity": self.quantity,
            "price": price,
            "currency": currency,
        }
        return body if ttl_seconds is None else {**body, "ttl": ttl_seconds}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One thing a shopper did: the document to write and what to tell the spectator."""

    document: Mapping[str, Any]
    told: str


@dataclass(slots=True, kw_only=True)
class Shoppers:
    """A crowd with a memory of its open carts; every decision comes from `chance`."""

    chance: random.Random
    cart_count: int = 40
    _lines: dict[str, Line] = field(default_factory=dict)
    _blunder: Line | None = None

    @property
    def open_lines(self) -> int:
        """Lines that are in some cart now."""
        return len(self._lines)

    def next_deed(self) -> Deed:
        """Somebody adds a line, changes a quantity or takes a line out."""
        choice = self.chance.random()
        if choice < BLUNDERS:
            return self._blunder_or_mend()
        if not self._lines or choice < ADDS:
            return self._add()
        line = self.chance.choice(list(self._lines.values()))
        return self._change(line) if choice < CHANGES else self._remove(line)

    def _add(self) -> Deed:
        cart_id = f"cart-{self.chance.randrange(self.cart_count):03d}"
        if sum(line.cart_id == cart_id for line in self._lines.values()) >= MAX_LINES:
            return self._remove(
                next(line for line in self._lines.values() if line.cart_id == cart_id)
            )
        line = self._new_line(cart_id)
        self._lines[line.id] = line
        return Deed(document=line.document(), told=f"{cart_id} adds {line.quantity} x {line.item}")

    def _blunder_or_mend(self) -> Deed:
        """A till writes a document that cannot be projected; the next time it is mended."""
        if self._blunder is not None:
            line, self._blunder = self._blunder, None
            self._lines[line.id] = line
            return Deed(
                document=line.document(), told=f"{line.cart_id} is mended (leaves quarantine)"
            )
        line = self._new_line(f"cart-{self.chance.randrange(self.cart_count):03d}")
        self._blunder = line
        broken = {**line.document(), "quantity": "many"}
        return Deed(document=broken, told=f'{line.cart_id} gets quantity "many" (quarantined)')

    def _new_line(self, cart_id: str) -> Line:
        return Line(
            id=str(uuid.UUID(int=self.chance.getrandbits(128), version=4)),
            cart_id=cart_id,
            item=self.chance.choice(list(CATALOG)),
            quantity=self.chance.randint(1, 4),
        )

    def _change(self, line: Line) -> Deed:
        changed = replace(line, quantity=self.chance.randint(1, 9))
        self._lines[line.id] = changed
        told = f"{line.cart_id} changes {line.item} from {line.quantity} to {changed.quantity}"
        return Deed(document=changed.document(), told=told)

    def _remove(self, line: Line) -> Deed:
        del self._lines[line.id]
        return Deed(
            document=line.document(ttl_seconds=SOFT_DELETE_TTL_SECONDS),
            told=f"{line.cart_id} takes out {line.item} (soft delete)",
        )
