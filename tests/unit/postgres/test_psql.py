from __future__ import annotations

import pytest

from projector.core.errors import SettingsError
from projector.postgres import psql

HERE, ELSEWHERE = "postgresql://u:hush-hush@127.0.0.1/d", "postgresql://u:hush-hush@db.example/d"


def test_psql_too_does_not_send_the_password_in_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGSSLMODE", raising=False)
    assert "PGSSLMODE" not in psql.libpq_environment(HERE)
    told = psql.libpq_environment(ELSEWHERE)
    assert (told["PGSSLMODE"], told["PGPASSWORD"]) == ("require", "hush-hush")
    assert psql.libpq_environment(f"{ELSEWHERE}?sslmode=disable")["PGSSLMODE"] == "disable"
    with pytest.raises(SettingsError, match="percent-encoded"):
        psql.libpq_environment("postgresql://u:hush@hush@h/d")


def test_a_server_elsewhere_gets_a_psql_that_can_speak_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert str(psql.find_psql(ELSEWHERE)) == "/usr/bin/psql"
    assert str(psql.find_psql(HERE)) != "/usr/bin/psql"
