from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from projector.core.errors import SettingsError
from projector.core.start import BEGINNING, NOW, StartFrom, StartKind
from projector.settings import (
    PREFIX,
    Settings,
    load_settings,
    required_endpoint,
    variable,
)

SECRET = "c2VjcmV0LWtleQ=="


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith(PREFIX):
            monkeypatch.delenv(name)


def load(folder: Path, monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    for name, value in environment.items():
        monkeypatch.setenv(PREFIX + name, value)
    return load_settings(folder)


def test_defaults_are_those_of_the_contract(tmp_path: Path) -> None:
    settings = load_settings(tmp_path)
    assert (settings.cosmos_database, settings.cosmos_container) == ("acme-webstore", "cart")
    assert (settings.lease_database_name, settings.lease_container) == ("acme-webstore", "lease")
    assert settings.processor_name == "projector"
    assert settings.data_dir == Path(".projector")
    assert settings.start_from == BEGINNING
    assert (settings.page_size, settings.poll_min_seconds, settings.poll_max_seconds) == (
        1000,
        0.05,
        1,
    )
    assert settings.lease_acquire_seconds == 13
    assert settings.lease_renew_seconds == 17
    assert settings.lease_expiration_seconds == 60
    assert (settings.web_host, settings.web_port) == ("127.0.0.1", 8080)
    assert settings.database_url is None


def test_environment_wins_over_dotenv_and_dotenv_over_toml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "projector.toml").write_text(
        'page_size = 1\nprocessor_name = "toml"\nweb_port = 1\n'
    )
    (tmp_path / ".env").write_text(
        "PROJECTOR_PAGE_SIZE=2\nPROJECTOR_PROCESSOR_NAME=dotenv\nOTHER=kept\n"
    )
    settings = load(tmp_path, monkeypatch, PAGE_SIZE="3")
    assert (settings.page_size, settings.processor_name, settings.web_port) == (3, "dotenv", 1)


def test_an_empty_variable_counts_as_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load(tmp_path, monkeypatch, COSMOS_KEY="", MAX_LEASES="").cosmos_key is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("beginning", BEGINNING, id="beginning"),
        pytest.param("NOW", NOW, id="now in capitals"),
        pytest.param(
            "2026-01-31T02:00:00+02:00",
            StartFrom(kind=StartKind.TIME, time=datetime(2026, 1, 31, tzinfo=UTC)),
            id="time with offset",
        ),
    ],
)
def test_start_from_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: StartFrom
) -> None:
    assert load(tmp_path, monkeypatch, START_FROM=text).start_from == expected


def test_a_time_written_as_a_toml_time_is_read(tmp_path: Path) -> None:
    (tmp_path / "projector.toml").write_text("start_from = 2026-01-31T00:00:00Z\n")
    assert load_settings(tmp_path).start_from.time == datetime(2026, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        pytest.param({"START_FROM": "2026-01-31T00:00:00"}, "zone", id="time without zone"),
        pytest.param({"START_FROM": "yesterday"}, "beginning, now or a time", id="no time at all"),
        pytest.param(
            {"WEB_TOKEN": "short"},
            "PROJECTOR_WEB_TOKEN: it has 5 characters, and 16 are the least",
            id="token of a few letters",
        ),
        pytest.param({"PAGE_SIZE": "0"}, "PROJECTOR_PAGE_SIZE", id="page of nothing"),
        pytest.param({"PAGE_SIZE": "many"}, "PROJECTOR_PAGE_SIZE", id="page size in words"),
        pytest.param({"WEB_PORT": "70000"}, "PROJECTOR_WEB_PORT", id="port too high"),
        pytest.param({"POLL_MIN_SECONDS": "nan"}, "PROJECTOR_POLL_MIN_SECONDS", id="not a number"),
        pytest.param(
            {"POLL_MIN_SECONDS": "2"}, "PROJECTOR_POLL_MAX_SECONDS", id="poll bounds crossed"
        ),
        pytest.param(
            {"LEASE_RENEW_SECONDS": "60"},
            "less than PROJECTOR_LEASE_EXPIRATION_SECONDS",
            id="renew = expiration",
        ),
        pytest.param(
            {"MIN_LEASES": "3", "MAX_LEASES": "2"},
            "PROJECTOR_MAX_LEASES",
            id="lease bounds crossed",
        ),
        pytest.param(
            {"COSMOS_ENDPOINT": "acme"}, "PROJECTOR_COSMOS_ENDPOINT", id="endpoint is no URL"
        ),
        pytest.param(
            {"COSMOS_ENDPOINT": "https://user:key@acme.example/"},
            "must hold no credentials",
            id="credentials in the endpoint",
        ),
        pytest.param({"LOG_FORMAT": "xml"}, "PROJECTOR_LOG_FORMAT", id="unknown log format"),
        pytest.param({"PROCESSOR_NAME": " "}, "PROJECTOR_PROCESSOR_NAME", id="blank name"),
        pytest.param({"PROCESSOR_NAME": "a/b"}, "PROJECTOR_PROCESSOR_NAME", id="no part of an id"),
        pytest.param({"COSMOS_CONTAINER": "a?b"}, "PROJECTOR_COSMOS_CONTAINER", id="no name"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], message: str
) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        load(tmp_path, monkeypatch, **environment)
    assert "\n" not in str(caught.value)


def test_an_unknown_variable_is_refused_with_the_nearest_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        SettingsError,
        match=r"PROJECTOR_COSMOS_ENDPONT .*nearest known name is PROJECTOR_COSMOS_ENDPOINT",
    ):
        load(tmp_path, monkeypatch, COSMOS_ENDPONT="https://x")


def test_an_unknown_name_in_dotenv_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PROJECTOR_PAGESIZE=5\n")
    with pytest.raises(SettingsError, match=r"PROJECTOR_PAGESIZE in \.env; .* PROJECTOR_PAGE_SIZE"):
        load_settings(tmp_path)


@pytest.mark.parametrize("name", ["pagesize", "PROJECTOR_PAGE_SIZE"])
def test_an_unknown_name_in_toml_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "projector.toml").write_text(f"{name} = 5\n")
    with pytest.raises(SettingsError, match=f"{name} in projector.toml; .* page_size"):
        load_settings(tmp_path)


def test_broken_toml_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "projector.toml").write_text("page_size = \n")
    with pytest.raises(SettingsError, match=r"projector\.toml is not valid TOML"):
        load_settings(tmp_path)


def test_secrets_are_in_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(
        tmp_path, monkeypatch, COSMOS_KEY=SECRET, DATABASE_URL=f"postgresql://u:{SECRET}@h/d"
    )
    assert SECRET not in f"{settings!r} {settings} {settings.model_dump_json()}"
    with pytest.raises(SettingsError) as caught:
        load(
            tmp_path, monkeypatch, COSMOS_ENDPOINT=f"AccountEndpoint=https://h;AccountKey={SECRET}"
        )
    assert SECRET not in f"{caught.value!r} {caught.value.__cause__} {caught.value.__context__}"


@pytest.mark.parametrize("end", ["\n", "\r\n", " \n"])
def test_what_comes_from_a_file_may_end_with_a_line_break(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    url = "postgresql://u:p@h/d"
    settings = load(
        tmp_path,
        monkeypatch,
        COSMOS_ENDPOINT=f"https://h/{end}",
        COSMOS_KEY=f"a2V5{end}",
        DATABASE_URL=url + end,
        WEB_HOST=f"::1{end}",
        LOG_FORMAT=f"json{end}",
        PAGE_SIZE=f"7{end}",
    )
    assert settings.cosmos_endpoint == "https://h/"
    assert settings.cosmos_key is not None
    assert settings.cosmos_key.get_secret_value() == "a2V5"
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == url
    assert (settings.web_host, settings.log_format, settings.page_size) == ("::1", "json", 7)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Settings().page_size = 5


def test_settings_made_in_code_do_not_look_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROJECTOR_PAGE_SIZE", "7")
    assert Settings().page_size == 1000


def test_every_instance_has_a_name_of_its_own() -> None:
    assert Settings().instance_name != Settings().instance_name


def test_a_missing_endpoint_is_named() -> None:
    with pytest.raises(SettingsError, match="PROJECTOR_COSMOS_ENDPOINT is not set"):
        required_endpoint(Settings())
    assert required_endpoint(Settings(cosmos_endpoint="http://localhost:1")) == "http://localhost:1"


def test_every_setting_has_a_description() -> None:
    assert [
        variable(name) for name, field in Settings.model_fields.items() if not field.description
    ] == []


@pytest.mark.parametrize("name", [".env", "projector.toml"])
def test_a_file_that_everybody_can_write_is_refused(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.touch()
    file.chmod(0o646)
    with pytest.raises(SettingsError, match=rf"{name}: type: chmod o-w .*{name}"):
        load_settings(tmp_path)
    file.chmod(0o664)
    load_settings(tmp_path)


def test_a_file_of_another_user_is_refused_where_everybody_may_put_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").touch(mode=0o600)
    if os.geteuid() == 0:
        os.chown(tmp_path / ".env", 4711, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 4711)
    load_settings(tmp_path)  # as a file that was mounted
    tmp_path.chmod(0o1777)
    with pytest.raises(SettingsError, match="another user owns"):
        load_settings(tmp_path)
