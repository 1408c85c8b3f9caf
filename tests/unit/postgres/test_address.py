"""The address of the target is read by libpq, and no refusal repeats a part of it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projector.core.errors import SettingsError
from projector.postgres.address import address
from projector.postgres.properties import complete


@pytest.mark.parametrize(
    ("url", "place", "is_local"),
    [
        ("postgresql://u:p@h/d", "h:5432/d", False),
        ("postgres://u:a%40b%2Fc%20d@h:5433/d%20e?sslmode=require", "h:5433/d e", False),
        ("postgresql://u:pa?ss#word@h/d", "h:5432/d", False),
        ("postgresql://u@[::1]:5432/d", "::1:5432/d", True),
        ("postgresql://u@127.1.2.3/d", "127.1.2.3:5432/d", True),
        ("postgresql:///d?host=/var/run/postgresql", "/var/run/postgresql:5432/d", True),
        ("postgresql://%2Fvar%2Frun/d", "/var/run:5432/d", True),
        ("postgresql://u@a:1,b:2/d?target_session_attrs=read-write", "a:1,b:2/d", False),
        ("postgresql://u@localhost,b/d", "localhost:5432,b:5432/d", False),
        ("postgresql://u@localhost/d?hostaddr=192.0.2.1", "localhost:5432/d", False),
        ("host=h dbname='d e' password='a@b c'", "h:5432/d e", False),
    ],
)
def test_whatever_libpq_reads_is_taken(url: str, place: str, is_local: bool) -> None:
    found = address(url)
    assert (found.place, found.is_local) == (place, is_local)
    assert url not in repr(found)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        pytest.param("postgresql://u:hush@hush@h/d", "percent-encoded", id="@"),
        pytest.param("postgresql://u:hush/hush@h/d", "percent-encoded", id="/"),
        pytest.param("postgresql://u:5/hush@h/d", "percent-encoded", id="/ after a number"),
        pytest.param("postgresql://u:1/x?host=hush@h/d", "percent-encoded", id="/ ? ="),
        pytest.param("postgresql://u:hush%zz@h/d", "percent-encoded", id="%"),
        pytest.param("postgresql://u:hush hush@h/d", "percent-encoded", id="space"),
        pytest.param("postgresql://u:hush\nhush@h/d", "percent-encode", id="line break"),
        pytest.param("postgresql://u:hush\0hush@h/d", "percent-encode", id="NUL"),
        pytest.param("postgresql://u:hush\udc80@h/d", "percent-encode", id="no UTF-8"),
        pytest.param(
            "postgresql://h/d?password=hush@hush", "percent-encoded", id="@ in a parameter"
        ),
        pytest.param("postgresql://h/d?hush=1", "libpq cannot read it", id="parameter"),
        pytest.param("mysql://u:hush@h/d", "postgresql://user", id="another database"),
        pytest.param("u:hush@h/d", "postgresql://user", id="no scheme"),
        pytest.param("hush", "postgresql://user", id="no URL"),
        pytest.param("host=h password=hush hush", "libpq cannot read it", id="not quoted"),
        pytest.param("postgresql://u:hush@h:port/d", "port is not a number", id="port"),
        pytest.param(
            "postgresql://u:hush@h/d?sslmode=maybe", "libpq refuses its sslmode", id="sslmode"
        ),
        pytest.param(
            "postgresql://u:hush@h,i/d?port=1,2,3",
            "libpq refuses its port",
            id="more ports than hosts",
        ),
        pytest.param(
            "postgresql://h/d?sslmode=require&sslrootcert=system",
            "together.*sslmode.*sslrootcert",
            id="not together",
        ),
        pytest.param("service=none-such password=hush", "libpq refuses its service", id="service"),
    ],
)
def test_a_refusal_is_one_line_without_any_part_of_the_password(url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        address(url)
    assert "hush" not in f"{caught.value!r} {caught.value.__cause__}"
    assert "\n" not in str(caught.value)


def test_what_the_environment_says_counts_as_for_psql(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "db.example")
    monkeypatch.setenv("PGPORT", "6000")
    monkeypatch.setenv("PGSSLMODE", "disable")
    found = address("postgresql:///d")
    assert (found.place, found.is_local, found.sslmode) == ("db.example:6000/d", False, "disable")


@pytest.mark.parametrize("told", ["variable", "service"])
def test_looking_at_an_address_connects_nowhere(
    told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not even where `hostaddr` comes from elsewhere: whoever is there may never answer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        port = silent.getsockname()[1]
        services = tmp_path / "services"
        services.write_text(f"[shop]\nhostaddr=127.0.0.1\nport={port}\nconnect_timeout=2\n")
        if told == "variable":
            monkeypatch.setenv("PGHOSTADDR", "127.0.0.1")
            monkeypatch.setenv("PGCONNECT_TIMEOUT", "2")
            address(f"postgresql://u@db.example:{port}/d")
        else:
            monkeypatch.setenv("PGSERVICEFILE", str(services))
            address("service=shop")
        with pytest.raises(BlockingIOError):
            silent.accept()


PIECES = st.sampled_from(
    [
        "postgresql://",
        "u",
        ":",
        "hush",
        "@",
        "h",
        "[::1]",
        ",",
        "/",
        "d",
        "?",
        "&",
        "=",
        "%",
        "%20",
        "host",
        "hostaddr",
        "port",
        "sslmode",
        "require",
        "options",
        "service",
        "1",
        "'",
        "\\",
        "é",
        "user=",
        "password=",
        "dbname=",
        "target_session_attrs=",
    ]
)
ODD = st.sampled_from([" ", "\n", "\0", "\udc80"])


@given(st.one_of(st.text(), st.lists(st.one_of(PIECES, PIECES, ODD), max_size=14).map("".join)))
def test_whatever_stands_there_is_an_address_or_one_line(url: str) -> None:
    said = ""
    try:
        found = address(url)
    except SettingsError as error:
        said = str(error)
    else:
        assert isinstance(found.place, str)
        assert (found.is_local, len(found.servers) > 0) in {(True, True), (False, True)}
        complete(found)
    assert "\n" not in said
    assert "hush" not in said


def test_a_variable_that_libpq_refuses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSSLMODE", "hush")
    with pytest.raises(SettingsError, match=r"variables says: .*PGSSLMODE"):
        address("postgresql://u@h/d")
