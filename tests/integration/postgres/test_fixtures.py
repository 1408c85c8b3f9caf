from __future__ import annotations

import psycopg
import pytest

from tests.fixtures.postgres import database_name, new_database

ADD_TABLE = "CREATE TABLE mine (id int)"
TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"


@pytest.mark.parametrize("_run", [1, 2])
def test_each_test_gets_an_empty_database_of_its_own(empty_database_url: str, _run: int) -> None:
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute(TABLES).fetchone() == (0,)
        connection.execute(ADD_TABLE)


def test_database_stores_any_text(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("SHOW server_encoding").fetchone() == ("UTF8",)


def test_clone_has_what_its_template_has_and_is_dropped_while_in_use(
    postgres_server_url: str, empty_database_url: str
) -> None:
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(ADD_TABLE)
    template = database_name(empty_database_url)
    with new_database(postgres_server_url, template=template) as url:
        left_open = psycopg.connect(url)
        assert left_open.execute(TABLES).fetchone() == (1,)
    with left_open, pytest.raises(psycopg.OperationalError):
        left_open.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(url)
