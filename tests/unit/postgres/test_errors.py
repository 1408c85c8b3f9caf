"""Who is to blame, for SQLSTATEs as servers send them."""

from __future__ import annotations

import psycopg
import pytest

from projector.core.errors import (
    Disposition,
    ProjectorError,
    SchemaMismatch,
    SinkRefused,
    SinkUnavailable,
)
from projector.postgres.errors import Blame, blame, first_line, translated, translated_error


@pytest.mark.parametrize(
    ("sqlstate", "expected"),
    [
        pytest.param(None, Blame.OUTAGE, id="broken connection"),
        pytest.param("08006", Blame.OUTAGE, id="connection failure"),
        pytest.param("0A000", Blame.OUTAGE, id="cached plan must not change result type"),
        pytest.param("21000", Blame.PERSON, id="row affected twice"),
        pytest.param("22003", Blame.DOCUMENT, id="number out of range"),
        pytest.param("22P02", Blame.DOCUMENT, id="invalid text"),
        pytest.param("22P05", Blame.DOCUMENT, id="untranslatable character"),
        pytest.param("22021", Blame.DOCUMENT, id="character not in repertoire"),
        pytest.param("23502", Blame.DOCUMENT, id="not null"),
        pytest.param("23514", Blame.DOCUMENT, id="check"),
        pytest.param("25006", Blame.OUTAGE, id="read-only"),
        pytest.param("25P03", Blame.OUTAGE, id="idle in transaction"),
        pytest.param("26000", Blame.OUTAGE, id="prepared statement vanished"),
        pytest.param("28P01", Blame.PERSON, id="wrong password"),
        pytest.param("28000", Blame.PERSON, id="not allowed"),
        pytest.param("3D000", Blame.PERSON, id="no database"),
        pytest.param("3F000", Blame.SCHEMA, id="no schema"),
        pytest.param("40001", Blame.OUTAGE, id="serialization failure"),
        pytest.param("40P01", Blame.OUTAGE, id="deadlock"),
        pytest.param("42501", Blame.PERSON, id="no right"),
        pytest.param("42P05", Blame.OUTAGE, id="another's prepared statement behind a pooler"),
        pytest.param("42601", Blame.PERSON, id="syntax"),
        pytest.param("42P01", Blame.SCHEMA, id="no table"),
        pytest.param("42703", Blame.SCHEMA, id="no column"),
        pytest.param("42883", Blame.SCHEMA, id="no function"),
        pytest.param("53100", Blame.OUTAGE, id="disk full"),
        pytest.param("53200", Blame.OUTAGE, id="out of memory"),
        pytest.param("53300", Blame.OUTAGE, id="too many connections"),
        pytest.param("54000", Blame.DOCUMENT, id="index row too large"),
        pytest.param("54001", Blame.DOCUMENT, id="nested too deep"),
        pytest.param("55P03", Blame.OUTAGE, id="lock timeout"),
        pytest.param("57014", Blame.OUTAGE, id="statement timeout"),
        pytest.param("57P01", Blame.OUTAGE, id="admin shutdown"),
        pytest.param("57P03", Blame.OUTAGE, id="starting up"),
        pytest.param("58030", Blame.OUTAGE, id="disk error"),
        pytest.param("P0001", Blame.PERSON, id="raised by a trigger"),
        pytest.param("XX001", Blame.OUTAGE, id="damaged data"),
        pytest.param("ZZ999", Blame.OUTAGE, id="unheard of"),
    ],
)
def test_blame(sqlstate: str | None, expected: Blame) -> None:
    assert blame(sqlstate) is expected


@pytest.mark.parametrize(
    ("error", "expected", "disposition"),
    [
        (psycopg.errors.DiskFull("disk full"), SinkUnavailable, Disposition.RETRY),
        (psycopg.errors.UndefinedTable("no table"), SchemaMismatch, Disposition.ASK_PERSON),
        (psycopg.errors.InsufficientPrivilege("no"), SinkRefused, Disposition.ASK_PERSON),
        (psycopg.errors.CheckViolation("no"), SinkUnavailable, Disposition.RETRY),
        (psycopg.OperationalError("connection refused"), SinkUnavailable, Disposition.RETRY),
    ],
    ids=["disk full", "no table", "no right", "check", "refused"],
)
def test_translation(
    error: psycopg.Error, expected: type[ProjectorError], disposition: Disposition
) -> None:
    found = translated_error(error)
    assert type(found) is expected
    assert found.disposition is disposition


def test_other_errors_pass_and_system_errors_are_outages() -> None:
    with pytest.raises(SinkUnavailable, match="unreachable"), translated():
        raise OSError("network unreachable")
    with pytest.raises(ValueError, match="mine"), translated():
        raise ValueError("mine")


def test_reason_is_one_line() -> None:
    assert first_line(ValueError("\n  first \nsecond")) == "first"
    assert first_line(ValueError()) == "ValueError"
