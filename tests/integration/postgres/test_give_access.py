"""The page on access: its SQL is run as it stands, and a tenant who tries sees his own rows only."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from projector.postgres.connections import Connections
from projector.postgres.sink import PostgresSink
from tests.integration.postgres.carts import apply, begun, line, page

PAGE = (Path(__file__).parents[3] / "docs" / "howto" / "give-access.md").read_text("utf-8")
BLOCKS = re.findall(r"^```sql\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
PASSWORD = "of-a-test"
PEEP = """
CREATE FUNCTION pg_temp.peep(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$
BEGIN RAISE NOTICE 'saw %', $1; RETURN true; END $$"""


@pytest.fixture
def tenant_url(database_url: str, role: str) -> str:
    with psycopg.connect(database_url, autocommit=True) as owner:
        for block in BLOCKS:
            owner.execute(block.replace("shop_a", role).encode())
        owner.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), PASSWORD))
        owner.execute("INSERT INTO tenants.members VALUES ('another', 'b-')")
    return make_conninfo(database_url, user=role, password=PASSWORD)


async def test_a_tenant_sees_his_own_rows_and_tells_of_no_others(
    connections: Connections, sink: PostgresSink, tenant_url: str
) -> None:
    grant = await begun(sink)
    mine, other = line("a-1", "1", 5), line("b-1", "1", 6)
    await apply(sink, grant, page(mine, other), at=7)
    seen: list[str] = []
    with psycopg.connect(tenant_url, autocommit=True) as tenant:
        tenant.add_notice_handler(lambda notice: seen.append(str(notice.message_primary)))
        assert tenant.execute("SELECT cart_id FROM tenants.cart_items").fetchall() == [("a-1",)]
        assert tenant.execute("SELECT cart_id FROM tenants.cart_totals").fetchall() == [("a-1",)]
        assert tenant.execute("SELECT prefix FROM tenants.members").fetchall() == [("a-",)]
        for query in ("TABLE carts.cart_items", "TABLE projector_g1.cart_items"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                tenant.execute(query.encode())


async def test_a_function_of_the_tenants_own_is_shown_nothing_of_others(
    connections: Connections, sink: PostgresSink, database_url: str, tenant_url: str, role: str
) -> None:
    grant = await begun(sink)
    await apply(sink, grant, page(line("a-1", "1", 5), line("b-1", "1", 6)), at=7)
    seen: list[str] = []
    with psycopg.connect(tenant_url, autocommit=True) as tenant:
        tenant.add_notice_handler(lambda notice: seen.append(str(notice.message_primary)))
        tenant.execute(PEEP)
        tenant.execute("SELECT 1 FROM tenants.cart_items WHERE pg_temp.peep(cart_id)")
    assert seen == ["saw a-1"]
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute("ALTER VIEW tenants.cart_items RESET (security_barrier)")
    with psycopg.connect(tenant_url, autocommit=True) as tenant:
        tenant.add_notice_handler(lambda notice: seen.append(str(notice.message_primary)))
        tenant.execute(PEEP)
        tenant.execute("SELECT 1 FROM tenants.cart_items WHERE pg_temp.peep(cart_id)")
    assert "saw b-1" in seen, "the function would see them without the barrier"
