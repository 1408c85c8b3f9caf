"""Functions and operators that others plant in `public` are never called by us.

Until PostgreSQL 14 everybody may create there, and whoever upgraded from it still lets everybody. What
one statement of ours called would run as our role.
"""

from __future__ import annotations

import psycopg
import pytest

from cosmos_emulator import EmulatorServer
from projector.operations.checks import failed
from projector.postgres.copying import copy_statement, copy_text
from projector.postgres.generation import FIRST_GENERATION
from projector.processor.clock import SystemClock
from projector.projection.carts import CARTS
from projector.wiring import commands
from projector.wiring.service import Service
from tests.fixtures.postgres import database_name
from tests.integration.postgres.carts import line
from tests.integration.verify.support import paired

pytestmark = pytest.mark.postgres

# The server's own functions and operators once more, each of them a trap, found first.
PLANT = """
DO $plant$
DECLARE f record;
BEGIN
  FOR f IN
    SELECT p.proname AS name, pg_get_function_identity_arguments(p.oid) AS arguments,
      CASE WHEN p.proretset THEN 'SETOF ' ELSE '' END || p.prorettype::regtype AS answer
    FROM pg_proc p JOIN pg_type r ON r.oid = p.prorettype
    WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND r.typtype = 'b'
      AND p.proargmodes IS NULL AND p.provariadic = 0 AND NOT (2281::oid = ANY(p.proargtypes))
      AND p.proargtypes::oid[] <@ ARRAY[20, 21, 23, 25, 16, 701, 1700, 1184, 1186, 114, 3802, 1009,
        1016, 19, 26, 2205]::oid[]
  LOOP
    EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS %s LANGUAGE plpgsql AS'
      ' ''BEGIN RAISE EXCEPTION ''''planted''''; END''', f.name, f.arguments, f.answer);
  END LOOP;
  FOR f IN
    SELECT o.oprname AS name, o.oprleft::regtype AS left, o.oprright::regtype AS right,
      o.oprcode AS code
    FROM pg_operator o
    WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprkind = 'b'
      AND ARRAY[o.oprleft, o.oprright] <@ ARRAY[20, 23, 25, 16, 701, 1700, 1184, 3802]::oid[]
      AND to_regprocedure(format('public.%I(%s,%s)', split_part(o.oprcode::text, '.', -1),
        o.oprleft::regtype, o.oprright::regtype)) IS NOT NULL
  LOOP
    EXECUTE format('CREATE OPERATOR public.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = public.%s)',
      f.name, f.left, f.right, split_part(f.code::text, '.', -1));
  END LOOP;
  -- A better match than the server's own, which takes a bigint.
  CREATE FUNCTION public.hashtextextended(text, integer) RETURNS bigint LANGUAGE plpgsql AS
    'BEGIN RAISE EXCEPTION ''planted''; END';
END $plant$"""


def plant(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
        connection.execute("SET ROLE carts_reader")  # anybody
        connection.execute(PLANT)
        connection.execute("RESET ROLE")
        count = connection.execute(
            "SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        ).fetchone()
        connection.execute(
            f"ALTER DATABASE {database_name(url)} SET search_path = public, pg_catalog"
        )
    assert count is not None
    return int(count[0])


async def test_nothing_that_others_planted_is_ever_called(
    emulator: EmulatorServer, migrated_template: str, empty_database_url: str
) -> None:
    url = empty_database_url
    assert plant(url) > 500
    with (
        pytest.raises(psycopg.errors.RaiseException, match="planted"),
        psycopg.connect(url) as trap,
    ):
        trap.execute("SELECT 1 WHERE 'a'::text = 'b'::text")
    async with paired(emulator, url) as pair:
        await pair.lines(40)
        await pair.world.write("cart-0", "bad", item="x", quantity="many")
        await Service(pair.settings).run(until_caught_up=True)
        await pair.lines(60)
        await pair.drain()
        assert not failed(await commands.doctor(pair.settings, clock=SystemClock()))
        with psycopg.connect(url) as older:  # a release whose sessions have no search_path
            older.execute("SET projector.copied = 'alone'")
            with older.cursor().copy(copy_statement(FIRST_GENERATION).encode()) as copy:
                copy.write(copy_text([line("a", "b", 1)], CARTS, lineage=0, tick=1))
            older.commit()
        report = await pair.verify(repair=True)
        assert report.extra == 1
        assert (await pair.verify()).consistent
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(f"ALTER DATABASE {database_name(url)} RESET search_path")
            admin.execute("DROP SCHEMA public CASCADE")
        assert await pair.totals_wrong() == 0
        assert await pair.value("SELECT count(*) FROM carts.cart_items") == 60
