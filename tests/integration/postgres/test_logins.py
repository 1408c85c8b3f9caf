"""Logins for people and tools that query: bounded, able to read, and to do nothing else."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from projector.core.errors import ConfigurationError
from projector.postgres.logins import Limits, Password, grant, revoke
from projector.postgres.readers import DEFAULT_READER
from projector.projection.carts import CARTS
from tests.fixtures.postgres import database_name

LIMITS = Limits(connections=2, statement_seconds=90, idle_seconds=60)
PASSWORD = "correct horse ' battery"


def let_in(url: str, role: str, password: str | None = PASSWORD) -> bool:
    return grant(
        url,
        role,
        reader=DEFAULT_READER,
        schema=CARTS.schema,
        limits=LIMITS,
        password=None if password is None else Password(text=password, replaces=True),
    ).made


def session(url: str, role: str) -> psycopg.Connection:
    return psycopg.connect(make_conninfo(url, user=role, password=PASSWORD), autocommit=True)


def test_a_login_reads_the_views_within_its_limits_and_writes_nothing(
    database_url: str, role: str
) -> None:
    assert let_in(database_url, role)
    with session(database_url, role) as reader:
        assert reader.execute("SELECT count(*) FROM cart_items").fetchone() == (0,)
        settings = reader.execute(
            "SELECT current_setting('statement_timeout'), current_setting('default_transaction_read_only'),"
            " current_setting('idle_in_transaction_session_timeout')"
        ).fetchone()
        assert settings == ("90s", "on", "1min")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            reader.execute("CREATE TABLE mine (a int)")
        reader.execute("SET default_transaction_read_only = off")
        for statement in (
            "INSERT INTO carts.cart_items DEFAULT VALUES",
            "SELECT * FROM projector.ranges",
            "SELECT * FROM projector_g1.cart_items",
            "CREATE TABLE carts.mine (a int)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(statement)
        with session(database_url, role), pytest.raises(psycopg.OperationalError, match="too many"):
            session(database_url, role)
    assert revoke(database_url, role, reader=DEFAULT_READER).made
    with pytest.raises(psycopg.OperationalError):
        session(database_url, role)


def test_granting_again_changes_limits_and_keeps_the_password(database_url: str, role: str) -> None:
    let_in(database_url, role)
    assert let_in(database_url, role, password=None)
    again = grant(
        database_url,
        role,
        reader=DEFAULT_READER,
        schema=CARTS.schema,
        limits=LIMITS,
        password=Password(text="drawn anew", replaces=False),
    )
    assert not again.password_set
    with session(database_url, role) as reader:
        assert reader.execute("SELECT 1").fetchone() == (1,)


def test_the_server_never_sees_the_password(database_url: str, role: str) -> None:
    let_in(database_url, role)
    with psycopg.connect(database_url) as owner:
        row = owner.execute(
            "SELECT rolpassword FROM pg_authid WHERE rolname = %s", [role]
        ).fetchone()
    assert row is not None
    assert row[0].startswith("SCRAM-SHA-256$")


def test_a_role_of_somebody_else_is_let_in_and_keeps_what_is_its_own(
    database_url: str, role: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE \"{role}\" LOGIN PASSWORD 'other' CONNECTION LIMIT 7")
    assert not let_in(database_url, role)
    with psycopg.connect(database_url) as owner:
        row = owner.execute(
            "SELECT rolconnlimit, pg_has_role(rolname, %s, 'MEMBER') FROM pg_roles WHERE rolname = %s",
            [DEFAULT_READER, role],
        ).fetchone()
        assert row == (7, True)
    assert not revoke(database_url, role, reader=DEFAULT_READER).made
    with psycopg.connect(database_url) as owner:
        assert owner.execute("SELECT to_regrole(%s) IS NOT NULL", [role]).fetchone() == (True,)


def test_who_may_do_more_than_read_is_refused(database_url: str) -> None:
    with psycopg.connect(database_url) as owner:
        user = owner.info.user
    with pytest.raises(ConfigurationError, match="choose another name"):
        let_in(database_url, user)


def test_who_may_not_make_roles_hears_what_an_administrator_types(
    database_url: str, role: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE \"{role}\" LOGIN PASSWORD '{PASSWORD.replace(chr(39), '')}'")
    plain = make_conninfo(database_url, user=role, password=PASSWORD.replace("'", ""))
    with pytest.raises(ConfigurationError, match="CREATEROLE"):
        let_in(plain, f"{role}_x")


@pytest.mark.parametrize("suffix", ["-}{database}", 'a"b', "é"])
def test_odd_names_are_names(database_url: str, role: str, suffix: str) -> None:
    odd = role + suffix
    try:
        assert let_in(database_url, odd)
        with session(database_url, odd) as reader:
            assert reader.execute("SELECT current_user::text").fetchone() == (odd,)
    finally:
        assert revoke(database_url, odd, reader=DEFAULT_READER).database == database_name(
            database_url
        )


def test_a_role_with_rights_elsewhere_is_not_dropped_and_it_is_said_where(
    database_url: str, role: str
) -> None:
    let_in(database_url, role)
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute("CREATE TABLE public.theirs (a int)")
        owner.execute(f'GRANT SELECT ON public.theirs TO "{role}"')
    with pytest.raises(ConfigurationError, match="theirs"):
        revoke(database_url, role, reader=DEFAULT_READER)
