"""What a simulated history is about: a projection, documents of its kind, and what SQL must say of them.

Totals are recounted by SQL written out here, which shares nothing with the service's own statements.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from projector.postgres.generation import FIRST_GENERATION, Generation
from projector.projection.project import Projection
from tests import wild
from tests.carts import CART_PROJECTION
from tests.orders import FIRST_ORDERS, ORDER_PROJECTION

Document = dict[str, Any]

_ITEMS = ("Surface Pro", "Surface Book", "Pen", "Dock", *wild.ESCAPES, *wild.ON_SCREENS)
_CURRENCIES = ("EUR", "USD")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """One kind of documents.

    Attributes:
        line: a good document without its key and id.
        spoiled: ways in which a document is not good, each as bytes.
        patch: one operation that leaves a document good.
        wrong_totals: SQL that names each total that is wrong.
    """

    projection: Projection
    generation: Generation
    line: Callable[[Random], Document]
    spoiled: Callable[[Document], Sequence[bytes]]
    patch: Callable[[Random], Document]
    wrong_totals: str

    @property
    def key_field(self) -> str:
        """The field that the container is partitioned on."""
        return self.projection.definition.key.name


def _cart_line(random: Random) -> Document:
    document: Document = {
        "item": random.choice(_ITEMS),
        "quantity": random.choice([1, 2, 3, 10, 0.5, 7]),
    }
    if random.random() < 0.7:
        document["price"] = random.choice([1, 2.5, "19.99", 0.1, "0.0000000001"])
    if random.random() < 0.7:
        document["currency"] = random.choice(_CURRENCIES)
    return document


def _spoiled_line(document: Document) -> Sequence[bytes]:
    return [
        json.dumps({**document, "quantity": "two"}).encode(),
        json.dumps({**document, "item": ""}).encode(),
        json.dumps({**document, "note": "\u0000"}).encode(),
        json.dumps({**document, "price": "1,50"}).encode(),
        json.dumps(document).replace('"item"', '"item":1e400,"itam"').encode(),
        json.dumps({**document, "cartId": 5}).encode(),
        json.dumps(document).encode().replace(b"Surface", b"Surf\xff\xfe"),
    ]


CART_LINES = Trade(
    projection=CART_PROJECTION,
    generation=FIRST_GENERATION,
    line=_cart_line,
    spoiled=_spoiled_line,
    patch=lambda random: {"op": "set", "path": "/quantity", "value": random.randint(1, 9)},
    wrong_totals="""
WITH expected AS (
  SELECT cart_id, count(*) AS line_count, sum(quantity) AS total_quantity,
         CASE WHEN count(DISTINCT coalesce(currency, '')) FILTER (WHERE unit_price IS NOT NULL) = 1
              THEN sum(quantity * unit_price) END AS total_amount,
         min(changed_at) AS first_changed_at, max(changed_at) AS last_changed_at
  FROM carts.cart_items GROUP BY cart_id)
SELECT 'cart ' || coalesce(e.cart_id, t.cart_id) FROM expected e
FULL JOIN carts.cart_totals t USING (cart_id)
WHERE (e.line_count, e.total_quantity, e.total_amount, e.first_changed_at, e.last_changed_at)
  IS DISTINCT FROM
      (t.line_count, t.total_quantity, t.total_amount, t.first_changed_at, t.last_changed_at)
UNION ALL
SELECT 'item ' || coalesce(e.item, t.item) FROM
  (SELECT item, count(*) AS line_count, sum(quantity) AS total_quantity
   FROM carts.cart_items GROUP BY item) e
FULL JOIN carts.item_totals t USING (item)
WHERE (e.line_count, e.total_quantity) IS DISTINCT FROM (t.line_count, t.total_quantity)
UNION ALL
SELECT 'amount ' || coalesce(e.cart_id, t.cart_id) FROM
  (SELECT cart_id, coalesce(currency, '') AS money, count(*) AS priced_line_count,
          sum(quantity * unit_price) AS total_amount
   FROM carts.cart_items WHERE unit_price IS NOT NULL GROUP BY 1, 2) e
FULL JOIN (SELECT cart_id, coalesce(currency, '') AS money, priced_line_count, total_amount
           FROM carts.cart_amounts) t USING (cart_id, money)
WHERE (e.priced_line_count, e.total_amount) IS DISTINCT FROM (t.priced_line_count, t.total_amount)
""",
)

_STATUSES = ("open", "packed", "sent", *wild.ESCAPES[:3])
_TIMES = (
    "2026-03-01T23:59:59Z",
    "2026-03-02T00:59:59.123456+01:00",
    "2026-03-02T08:00:00-05:00",
    "1970-01-01T00:00:00Z",
)


def _order(random: Random) -> Document:
    document: Document = {
        "status": random.choice(_STATUSES),
        "units": random.choice([1, 2, 12, 0.25]),
        "unitPrice": random.choice([0, 9.99, 100, 0.0000000001]),
        "placedAt": random.choice(_TIMES),
    }
    if random.random() < 0.6:
        document["weightKg"] = random.choice([1, "0.350", 12.5, None])
    if random.random() < 0.6:
        document["isPaid"] = random.choice([True, False, None])
    return document


def _spoiled_order(document: Document) -> Sequence[bytes]:
    return [
        json.dumps({**document, "units": None}).encode(),
        json.dumps({**document, "status": 7}).encode(),
        json.dumps({**document, "placedAt": "2026-02-30T00:00:00Z"}).encode(),
        json.dumps({**document, "placedAt": "2026-03-01"}).encode(),
        json.dumps({**document, "isPaid": "yes"}).encode(),
        json.dumps({**document, "weightKg": "heavy"}).encode(),
        json.dumps({**document, "customerId": None}).encode(),
    ]


ORDERS_OF_CUSTOMERS = Trade(
    projection=ORDER_PROJECTION,
    generation=FIRST_ORDERS,
    line=_order,
    spoiled=_spoiled_order,
    patch=lambda random: {"op": "set", "path": "/units", "value": random.randint(1, 9)},
    wrong_totals="""
SELECT 'customer ' || coalesce(e.customer_id, t.customer_id) FROM
  (SELECT customer_id, count(*) AS order_count, sum(units * price) AS value,
          coalesce(sum(weight), 0) AS weight, max(changed_at) AS last_changed_at
   FROM orders.orders GROUP BY customer_id) e
FULL JOIN orders.customer_totals t USING (customer_id)
WHERE (e.order_count, e.value, e.weight, e.last_changed_at)
  IS DISTINCT FROM (t.order_count, t.value, t.weight, t.last_changed_at)
UNION ALL
SELECT 'status ' || coalesce(e.status, t.status) FROM
  (SELECT status, count(*) AS order_count, sum(units) AS units
   FROM orders.orders GROUP BY status) e
FULL JOIN orders.status_totals t USING (status)
WHERE (e.order_count, e.units) IS DISTINCT FROM (t.order_count, t.units)
UNION ALL
SELECT 'day ' || coalesce(e.day, t.day) FROM
  (SELECT (placed_at AT TIME ZONE 'UTC')::date AS day, count(*) AS order_count,
          sum(units * price) AS value
   FROM orders.orders GROUP BY 1) e
FULL JOIN orders.daily_totals t USING (day)
WHERE (e.order_count, e.value) IS DISTINCT FROM (t.order_count, t.value)
""",
)

TRADES = {"carts": CART_LINES, "orders": ORDERS_OF_CUSTOMERS}
