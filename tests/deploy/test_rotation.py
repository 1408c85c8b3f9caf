"""The page on keys: the second role that it makes is, to PostgreSQL, the first one under another password."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import make_url

from projector.postgres.migrate import upgrade
from projector.postgres.properties import connected
from projector.postgres.schema import current, head

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "rotate-keys.md"
PASSWORD = "a-new-one"


def second_role_of(page: str) -> str:
    """The last block of SQL: two statements."""
    *_, last = re.findall(r"^```sql\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return str(last)


@pytest.fixture
def owner(empty_database_url: str) -> Iterator[str]:
    """A role that owns the database and may do no more."""
    name = f"projector_{secrets.token_hex(4)}"
    database = make_url(empty_database_url).database or ""
    with psycopg.connect(empty_database_url, autocommit=True) as administrator:
        make = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
        administrator.execute(make.format(sql.Identifier(name), sql.Literal(PASSWORD)))
        own = sql.SQL("ALTER DATABASE {} OWNER TO {}")
        administrator.execute(own.format(sql.Identifier(database), sql.Identifier(name)))
        yield name
        for role in (f"{name}_2", name):
            identifier = sql.Identifier(role)
            administrator.execute(
                sql.SQL("REASSIGN OWNED BY {} TO CURRENT_USER").format(identifier)
            )
            administrator.execute(sql.SQL("DROP OWNED BY {}").format(identifier))
            administrator.execute(sql.SQL("DROP ROLE {}").format(identifier))


def test_a_second_role_owns_what_the_first_one_made(empty_database_url: str, owner: str) -> None:
    def url(role: str) -> str:
        named = make_url(empty_database_url).set(username=role, password=PASSWORD)
        return named.render_as_string(hide_password=False)

    upgrade(url(owner))
    block = second_role_of(PAGE.read_text("utf-8"))
    with psycopg.connect(empty_database_url, autocommit=True) as administrator:
        for statement in block.replace("projector", owner).replace("...", PASSWORD).split(";")[:2]:
            administrator.execute(statement.encode())

    with connected(url(f"{owner}_2"), application_name="projector test") as session:
        assert session.execute("SELECT current_user").fetchone() == (owner,)
        session.execute("ALTER TABLE projector.ranges ADD COLUMN of_the_second_role int")
        session.execute("ALTER TABLE projector.ranges DROP COLUMN of_the_second_role")
    assert current(url(f"{owner}_2")) == head()
