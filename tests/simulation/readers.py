"""Somebody who looks at all views after every step, in one snapshot: the rule that readers are promised.

Totals equal a recount. All views show the one generation that is live. A row whose document is as it was
does not go, whatever is rebuilt, promoted, rolled back, aborted or retired: so counts never drop to 0. Nor is
a row of an older version of its document than before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from typing import Any

import psycopg

from cosmos_emulator.documents import ItemKey
from projector.postgres.generation import Generation
from projector.postgres.views import views_of
from tests.simulation.oracle import Expected, Key, Row, actual_rows, epk_of, expected_rows
from tests.simulation.shop import Shop
from tests.simulation.world import World, WrongError

STATES = """
SELECT id, state, schema_name, control_schema, forced_at FROM projector.generations
WHERE state NOT IN ('retired', 'aborted') ORDER BY id"""

# As long as it is the same, nobody has committed anything.
NEWEST = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text"

ONE_GENERATION = """
SELECT 'view {view} is not that of generation {id}' WHERE EXISTS (
  (TABLE {view} EXCEPT ALL ({query})) UNION ALL (({query}) EXCEPT ALL TABLE {view}))"""

IS_FED = "SELECT 1 FROM projector.generations WHERE id = %s AND state IN ('live', 'former')"

# An etag of the emulator begins with the number of the version in its container.
VERSIONS = "SELECT {key}, id, etag FROM {rows} WHERE NOT deleted"

BEING_MADE = {"filling", "following"}


class Reader:
    """One session, as long as it lasts."""

    def __init__(self, world: World, shop: Shop) -> None:
        self._world, self._shop = world, shop
        self._definition = world.trade.projection.definition
        self._session: psycopg.Connection[Any] | None = None
        self._seen: dict[Key, Row] = {}
        self._totals = world.trade.wrong_totals.encode()
        self._newest: object = None
        self._known: dict[bytes, Expected] = {}
        self._live, self._forced = 1, None
        self._last = (1, 0)
        self._rows: dict[Key, Row] = {}
        self._versions: dict[Key, int] = {}
        self._seen_versions: dict[Key, int] = {}
        self._slow: tuple[psycopg.Connection[Any], int, dict[Key, Row]] | None = None

    def close(self) -> None:
        """Go."""
        for one in (self._session, self._slow[0] if self._slow else None):
            if one is not None:
                one.close()

    async def hold(self) -> str:
        """Somebody takes a snapshot of this moment, and reads it later; or reads it by now."""
        if self._slow is None:
            session = _snapshot(self._world.url)
            session.execute("SELECT 1")
            self._slow = session, self._live, self._rows
            return "a snapshot"
        (session, live, rows), self._slow = self._slow, None
        told = "nobody is there any more"
        with suppress(psycopg.OperationalError), session:
            with psycopg.connect(self._world.url) as now:
                kept = now.execute(IS_FED, [live]).fetchone()
            if kept is None:  # its tables may be gone
                return f"generation {live} is"
            found = actual_rows(session, self._definition)
            if found != rows:
                raise WrongError("snapshot", [f"{found} instead of {rows}"])
            told = f"{len(found)} rows as they were"
        return told

    def wrong(self, excused: Callable[[int], Collection[ItemKey]]) -> list[str]:
        """What is wrong now, one line each.

        `excused`: documents that a generation of that number may lack.
        """
        try:
            return self._look(excused)
        except psycopg.OperationalError:  # it was cut off
            self._session = None
            return self._look(excused)

    def _look(self, excused: Callable[[int], Collection[ItemKey]]) -> list[str]:
        if self._session is None:
            self._session = _snapshot(self._world.url)
        wrong: list[str] = []
        with self._session.transaction():
            newest = self._session.execute(NEWEST).fetchone()
            if newest != self._newest:
                wrong = self._shown(self._session)
        self._newest = newest
        return wrong + self._taken_back(excused)

    def _shown(self, session: psycopg.Connection[Any]) -> list[str]:
        """Look at all of it; what is wrong in itself."""
        states = session.execute(STATES).fetchall()
        live = [one for one in states if one[1] == "live"]
        if len(live) != 1:
            return [f"live: {states}"]
        [(self._live, _, schema, control, self._forced)] = live
        self._rows = actual_rows(session, self._definition)
        self._versions = self._versions_in(session, schema)
        wrong = [f"total {one}" for (one,) in session.execute(self._totals).fetchall()]
        if sum(one[1] in BEING_MADE for one in states) > 1:
            wrong.append(f"two are made at once: {states}")
        if len(states) > 1:
            wrong += self._mixed(session, schema, control)
        return wrong

    def _mixed(self, session: psycopg.Connection[Any], schema: str, control: str) -> Iterator[str]:
        generation = Generation(
            definition=self._definition, schema=schema, control=control, id=self._live
        )
        shown = [self._definition.rows, *(one.name for one in self._definition.totals)]
        texts = [
            ONE_GENERATION.format(
                view=f"{self._definition.schema}.{view.name}", id=self._live, query=view.query
            )
            for view in views_of(generation)
            if view.name in shown
        ]
        for (told,) in session.execute("UNION ALL".join(texts).encode()).fetchall():
            yield told

    def _versions_in(self, session: psycopg.Connection[Any], schema: str) -> dict[Key, int]:
        rows = f"{schema}.{self._definition.rows}"
        text = VERSIONS.format(key=self._definition.key.column, rows=rows)
        found = session.execute(text.encode())
        return {(key, id_): int(etag.strip('"')[:8], 16) for key, id_, etag in found}

    def _taken_back(self, excused: Callable[[int], Collection[ItemKey]]) -> list[str]:
        """What is shown as it was earlier, or not at all any more."""
        projection = self._world.trade.projection
        expected = expected_rows(self._shop.container, projection, self._known)
        rows, before = self._rows, self._last
        self._last = (self._live, self._world.losses)
        seen, self._seen = self._seen, {k: row for k, row in rows.items() if expected.get(k) == row}
        older, self._seen_versions = self._older(), self._versions
        forced = before[0] != self._live and self._forced is not None
        if forced or before[1] != self._world.losses:
            return []
        gone = [k for k, row in seen.items() if expected.get(k) == row and rows.get(k) != row]
        if gone:
            allowed = {*self._shop.hidden(), *excused(self._live)}
            gone = [key for key in gone if (epk_of(key[0]), key[1]) not in allowed]
        return [
            f"{what} from {before} to {self._last}: {key}: {rows.get(key)}"
            for what, keys in (("gone", gone), ("older", older))
            for key in keys
        ]

    def _older(self) -> list[Key]:
        """Rows of an older version of their document than they were of."""
        return [
            key
            for key, version in self._versions.items()
            if version < self._seen_versions.get(key, version)
            and not self._shop.numbered_anew(epk_of(key[0]))
        ]


def _snapshot(url: str) -> psycopg.Connection[Any]:
    session = psycopg.connect(url)
    session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    return session
