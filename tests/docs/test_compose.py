"""Docker may be absent where tests run, so the compose file is held against schema and settings."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError

from cosmos_emulator import Emulator
from projector.settings import Settings
from tests.fixtures.blocking import blocking_client

ROOT = Path(__file__).parent.parent.parent
LOOPBACK = "127.0.0.1:"


def loaded() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return document


def check(document: dict[str, Any]) -> None:
    schema = json.loads((Path(__file__).parent / "compose.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(document)


@pytest.fixture
def compose() -> dict[str, Any]:
    return loaded()


def projector_settings(compose: dict[str, Any]) -> dict[str, str]:
    environment: dict[str, str] = compose["services"]["projector"]["environment"]
    return environment


def copied_into_the_image() -> Iterator[str]:
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            yield from line.split()[1:-1]


def test_compose_file_follows_the_specification(compose: dict[str, Any]) -> None:
    check(compose)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param(["services", "postgres", "imagee"], "postgres", id="unknown attribute"),
        pytest.param(["services", "postgres", "ports"], [5432], id="port as a number"),
        pytest.param(["services", "postgres", "image"], 18, id="image as a number"),
        pytest.param(["services", "cosmos", "restart"], "sometimes", id="unknown restart"),
        pytest.param(["services", "cosmos", "healthcheck", "interval"], "3", id="no unit"),
        pytest.param(["services", "cosmos", "healthcheck", "test"], ["true"], id="no CMD"),
        pytest.param(
            ["services", "seed", "depends_on", "cosmos", "condition"], "ready", id="condition"
        ),
        pytest.param(["services", "seed", "networks"], ["default"], id="two kinds of network"),
        pytest.param(["volume"], {}, id="unknown section"),
    ],
)
def test_schema_refuses_a_mistake(compose: dict[str, Any], path: list[str], value: object) -> None:
    broken = deepcopy(compose)
    place = broken
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ValidationError):
        check(broken)


def test_every_name_in_the_compose_file_is_defined(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for service in services.values():
        wanted = set(service.get("depends_on", ()))
        mode = service.get("network_mode", "")
        wanted |= {mode.removeprefix("service:")} if mode.startswith("service:") else set()
        assert wanted <= set(services)
        sources = {mount.split(":")[0] for mount in service.get("volumes", ())}
        assert {s for s in sources if not s.startswith(".")} <= set(compose["volumes"])
        assert all((ROOT / s).exists() for s in sources if s.startswith("."))


def test_dependencies_that_must_be_healthy_have_a_health_check(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for service in services.values():
        for name, dependency in service.get("depends_on", {}).items():
            healthy = dependency["condition"] == "service_healthy"
            assert not healthy or "healthcheck" in services[name]


def test_service_in_another_ones_network_publishes_no_port_itself(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert not ("network_mode" in service and "ports" in service)


def test_projector_is_wired_by_known_settings_alone(compose: dict[str, Any]) -> None:
    environment = projector_settings(compose)
    fields = {name.removeprefix("PROJECTOR_").lower(): value for name, value in environment.items()}
    assert all(name.startswith("PROJECTOR_") for name in environment)
    assert set(fields) <= set(Settings.model_fields)
    settings = Settings(**fields)  # type: ignore[arg-type] # text, as the environment has it
    assert settings.cosmos_endpoint == "http://127.0.0.1:8081"


def test_projector_and_server_agree_on_the_database(compose: dict[str, Any]) -> None:
    server = compose["services"]["postgres"]["environment"]
    url = projector_settings(compose)["PROJECTOR_DATABASE_URL"]
    expected = "postgresql://{POSTGRES_USER}:{POSTGRES_PASSWORD}@postgres:5432/{POSTGRES_DB}"
    assert url == expected.format(**server) + "?sslmode=disable"


def test_published_ports_are_on_loopback_and_meet_the_programs(compose: dict[str, Any]) -> None:
    published = [port for s in compose["services"].values() for port in s.get("ports", ())]
    assert all(port.startswith(LOOPBACK) for port in published)
    web = projector_settings(compose)["PROJECTOR_WEB_PORT"]
    assert f"{LOOPBACK}{web}:{web}" in compose["services"]["cosmos"]["ports"]


def test_seed_fills_the_cart_container_and_leaves_alone_what_is_there(
    compose: dict[str, Any], cosmos_account: Emulator
) -> None:
    endpoint = {"PROJECTOR_COSMOS_ENDPOINT": cosmos_account.endpoint}
    settings = compose["services"]["seed"]["environment"]
    assert settings["PROJECTOR_COSMOS_KEY"] == cosmos_account.key
    source = compose["services"]["seed"]["volumes"][0].split(":")[0]
    for _time in range(2):
        done = subprocess.run(
            [sys.executable, ROOT / source],
            env={**os.environ, **settings, **endpoint},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "3 documents are there\n"
    with blocking_client(cosmos_account.endpoint, cosmos_account.key) as client:
        database = client.get_database_client(settings["PROJECTOR_COSMOS_DATABASE"])
        carts = database.get_container_client(settings["PROJECTOR_COSMOS_CONTAINER"])
        assert carts.read()["defaultTtl"] == -1
        assert [cart["quantity"] for cart in carts.read_all_items()] == [2, 8, 1]


def test_compose_and_image_ask_for_health_as_everybody_does(compose: dict[str, Any]) -> None:
    assert compose["services"]["projector"]["healthcheck"]["test"] == ["CMD", "projector", "health"]
    [check] = [
        line
        for line in (ROOT / "Dockerfile").read_text().splitlines()
        if line.startswith("HEALTHCHECK")
    ]
    assert json.loads(check.partition(" CMD ")[2]) == ["projector", "health"]


def test_shell_variables_are_not_taken_for_compose_variables() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert re.findall(r"(?<!\$)\$(?!\$)\w+", text) == []


@pytest.mark.parametrize("path", sorted(copied_into_the_image()))
def test_image_is_made_of_files_that_exist_and_are_not_ignored(path: str) -> None:
    assert (ROOT / path).exists()
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    assert {f"!{path}", f"!{path}/"} & set(allowed)
