"""The role that reads the views: one per database where that is wanted, and nobody is misled."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from projector.core.errors import SettingsError
from projector.postgres.readers import DEFAULT_READER, let_in
from projector.settings import load_settings
from tests.fixtures.postgres import database_name, new_database

READS = "SELECT has_table_privilege(%s, 'carts.cart_totals', 'SELECT') AND has_schema_privilege(%s, 'carts', 'USAGE')"


def reads(url: str, role: str) -> bool:
    with psycopg.connect(url) as connection:
        row = connection.execute(READS, [role, role]).fetchone()
    return row == (True,)


def test_a_role_of_the_databases_own_is_let_in_and_the_shared_one_shut_out(
    database_url: str, role: str
) -> None:
    assert reads(database_url, DEFAULT_READER)
    made = let_in(database_url, role)
    assert (made.changed, list(made.elsewhere)) == (True, [])
    assert reads(database_url, role)
    assert not reads(database_url, DEFAULT_READER)
    again = let_in(database_url, role)
    assert not again.changed
    assert reads(database_url, role)


def test_whoever_hands_a_role_out_hears_which_other_databases_it_reads(
    postgres_server_url: str, migrated_template: str, database_url: str, role: str
) -> None:
    with new_database(postgres_server_url, template=migrated_template) as other:
        let_in(other, role)
        made = let_in(database_url, role)
        assert list(made.elsewhere) == [database_name(other)]
        let_in(other, DEFAULT_READER)  # changes nothing: it was shut out on purpose
        assert not reads(other, DEFAULT_READER)


def test_an_older_default_that_was_shut_out_stays_out(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("REVOKE USAGE ON SCHEMA carts FROM carts_reader")
    found = let_in(database_url, DEFAULT_READER)
    assert not found.changed
    assert not reads(database_url, DEFAULT_READER)


def test_whoever_may_connect_cannot_hold_up_the_letting_in(database_url: str, role: str) -> None:
    with psycopg.connect(database_url) as stranger:
        stranger.execute("SELECT pg_advisory_lock(1886546486)")  # that was ours once
        let_in(database_url, role)
    assert reads(database_url, role)


@pytest.mark.parametrize(
    "name", ["pg_read_all_data", "Analysts", "a-b", "1a", 'x"; DROP', "a" * 64]
)
def test_names_that_would_need_quotes_are_refused(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROJECTOR_READER_ROLE", name)
    with pytest.raises(SettingsError, match="PROJECTOR_READER_ROLE"):
        load_settings(tmp_path)
