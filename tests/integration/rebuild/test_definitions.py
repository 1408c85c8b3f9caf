"""A program whose definition of the projection is another one than the live generation was built from."""

from __future__ import annotations

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from projector.core.errors import RebuildError
from projector.ports.generations import GenerationState
from projector.projection.carts import CARTS
from projector.projection.definition import Definition
from projector.telemetry.logs import Event
from tests.acceptance.next_release import next_release
from tests.integration.rebuild.rebuilt import Rebuilt
from tests.integration.verify.support import until

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(300)]


def upgrade(program: pytest.MonkeyPatch, definition: Definition | None = None) -> None:
    """From here on the program is the next release."""
    program.setattr("projector.settings.model.DEFINITION", definition or next_release())


async def test_it_says_so_once_goes_on_with_what_is_live_and_a_rebuild_brings_it(
    rebuilt: Rebuilt, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rebuilt.pair.line("cart", "old", weight=3)
    await rebuilt.pair.drain()
    upgrade(monkeypatch)
    with capture_logs() as told:
        async with rebuilt.pair.host():
            await rebuilt.pair.line("cart", "new", weight=4)
            await rebuilt.whole()
    notes = [entry["note"] for entry in told if entry["event"] == Event.DEFINITION_DIFFERS]
    assert len(notes) == 1
    assert "new column weight, other total item_totals" in notes[0]
    assert await rebuilt.pair.sql("SELECT id, weight FROM carts.cart_items ORDER BY id") == [
        ("new", 4),
        ("old", 3),
    ]
    assert await rebuilt.pair.sql("SELECT total_quantity, total_weight FROM carts.item_totals") == [
        (4, 7)
    ]


async def test_what_is_live_is_fed_as_it_was_built(
    rebuilt: Rebuilt, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rebuilt.pair.drain()
    upgrade(monkeypatch)
    await rebuilt.pair.line("cart", "new", weight=4)
    await rebuilt.pair.drain()
    assert await rebuilt.pair.sql("SELECT extra FROM carts.cart_items") == [({"weight": 4},)]
    assert (await rebuilt.pair.verify()).consistent


async def test_where_nothing_was_ever_copied_the_program_begins_with_its_own(
    rebuilt: Rebuilt, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade(monkeypatch)
    await rebuilt.pair.line("cart", "first", weight=4)
    with capture_logs() as told:
        await rebuilt.pair.drain()
        await rebuilt.pair.drain()
    assert Event.DEFINITION_DIFFERS not in [entry["event"] for entry in told]
    assert await rebuilt.pair.sql("SELECT id, weight FROM carts.cart_items") == [("first", 4)]
    assert [(one.id, one.state) for one in await rebuilt.records()] == [
        (2, GenerationState.LIVE),
        (1, GenerationState.RETIRED),
    ]


async def test_a_program_that_begins_with_its_own_starts_where_it_was_told_to(
    rebuilt: Rebuilt, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade(monkeypatch)
    rebuilt.pair.values["start_from"] = "now"
    await rebuilt.pair.line("cart", "of before", weight=4)
    await rebuilt.pair.drain()
    await rebuilt.pair.line("cart", "first", weight=4)
    async with rebuilt.pair.host():
        await until(lambda: rebuilt.value("SELECT count(*) FROM carts.cart_items"))
        assert await rebuilt.pair.sql("SELECT id FROM carts.cart_items") == [("first",)]
        await rebuilt.whole()  # what is loaded is loaded whole, and read so
    assert await rebuilt.value("SELECT count(*) FROM carts.cart_items") == 2


async def test_what_others_built_on_a_total_that_goes_is_named_before_anything_is_touched(
    rebuilt: Rebuilt, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rebuilt.pair.drain()
    await rebuilt.pair.sql("CREATE VIEW public.report AS SELECT item FROM carts.item_totals")
    upgrade(monkeypatch, replace(CARTS, totals=CARTS.totals[:1]))
    with pytest.raises(RebuildError, match=r"nothing was begun.*item_totals.*public\.report"):
        await rebuilt.start()
    assert [one.id for one in await rebuilt.records()] == [1]
