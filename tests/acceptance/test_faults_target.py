"""What a host does while PostgreSQL misbehaves: it waits, loses nothing, and blames no document."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest
from psycopg.rows import tuple_row

from cosmos_emulator import EmulatorServer
from projector.core.states import CloseReason, RangeState
from projector.postgres.migrate import upgrade
from tests.acceptance.hosts_scene import Scene, scene, serving, until
from tests.fixtures.postgres import replace_database


@pytest.fixture
async def stage(emulator: EmulatorServer, database_url: str) -> AsyncIterator[Scene]:
    """A container with documents and an empty copy."""
    async with scene(emulator, database_url) as made:
        yield made


FAILING = """
CREATE OR REPLACE FUNCTION public.failing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file: failing on purpose' USING ERRCODE = '{code}'; END $$;
CREATE OR REPLACE TRIGGER failing BEFORE INSERT OR UPDATE ON projector_g1.cart_items
  FOR EACH ROW EXECUTE FUNCTION public.failing()
"""
WORKING = "DROP TRIGGER failing ON projector_g1.cart_items"

OUTAGES = {
    "53100": "disk full",
    "53200": "out of memory",
    "58030": "input or output failed",
    "40001": "serialization failure",
    "40P01": "deadlock",
    "55P03": "lock not available",
    "57014": "query cancelled",
    "57P01": "server shutting down",
    "25006": "read-only transaction",
    "XX001": "damaged",
}


async def test_no_failure_of_the_server_is_blamed_on_a_document(stage: Scene) -> None:
    async with serving(stage):
        await stage.copied()
        before = stage.epochs()
        for code in OUTAGES:
            stage.sql.execute(FAILING.format(code=code).encode())
            stage.shop()
            await stage.all_in(RangeState.WAITING_FOR_TARGET)
            assert stage.wrong(), code
            stage.sql.execute(WORKING)
            await stage.copied()
        assert stage.epochs() == before
    assert set(stage.witness.endings) == {CloseReason.SHUTDOWN}


async def test_a_failure_in_the_middle_of_a_batch_with_bad_documents_blames_none_of_the_good(
    stage: Scene,
) -> None:
    async with serving(stage):
        await stage.copied()
        stage.sql.execute(FAILING.format(code="53100").encode())
        stage.carts.upsert({"id": "bad", "cartId": "cart-1", "item": "pro", "quantity": "two"})
        stage.shop()
        await stage.all_in(RangeState.WAITING_FOR_TARGET)
        stage.sql.execute(WORKING)
        await until(stage.wrong, lambda wrong: not wrong)
        assert stage.rows("SELECT document_id FROM projector.quarantine") == [("bad",)]


async def test_a_database_replaced_by_an_empty_one_is_filled_again(
    stage: Scene, postgres_server_url: str, migrated_template: str
) -> None:
    async with serving(stage):
        await stage.copied()
        replace_database(postgres_server_url, stage.url, migrated_template)
        with psycopg.connect(stage.url, autocommit=True, row_factory=tuple_row) as fresh:
            stage.sql = fresh
            stage.shop()
            await stage.copied()


async def test_a_database_without_tables_is_named_with_its_remedy_and_filled_when_it_has_them(
    stage: Scene, postgres_server_url: str
) -> None:
    async with serving(stage):
        await stage.copied()
        replace_database(postgres_server_url, stage.url, "template0")
        stage.shop()
        await until(stage.messages, lambda texts: any("projector db upgrade" in t for t in texts))
        await asyncio.to_thread(upgrade, stage.url)
        with psycopg.connect(stage.url, autocommit=True, row_factory=tuple_row) as fresh:
            stage.sql = fresh
            await stage.copied()
