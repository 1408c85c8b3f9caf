"""The carts that queries and patches are tried on."""

from __future__ import annotations

from typing import Any

Row = Any
Cart = dict[str, Any]

CARTS: list[Cart] = [
    {
        "id": f"item-{number:02d}",
        "cartId": f"cart-{number % 9}",
        "item": ["Surface Pro", "Surface Book", "Pen", 'Émile\'s "cup"'][number % 4],
        "quantity": number % 7 + 1,
        **({"price": number / 2} if number % 3 else {}),
        **({"note": None} if number % 10 == 0 else {}),
        "tags": ["blue", "big", "new"][: number % 4],
        "size": {"w": number % 5, "h": [number, number + 1]},
    }
    for number in range(60)
]


def plain(row: Row) -> Row:
    """A row without what the service adds."""
    if isinstance(row, dict):
        return {name: value for name, value in row.items() if not name.startswith("_")}
    return row
