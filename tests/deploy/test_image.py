"""The image says what it is and runs as nobody in particular; the compose file's monitoring fits the rest."""

from __future__ import annotations

import re
import tomllib
from typing import Any
from urllib.parse import urlsplit

import yaml

from projector import __version__
from tests.deploy.operators_files import DASHBOARD, ROOT, RULES

LINES = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ").splitlines()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
BESIDE = {
    "prometheus": ["monitoring"],
    "grafana": ["monitoring", "bi"],
    "analyst": ["monitoring", "bi"],
    "metabase": ["bi"],
    "metabase-setup": ["bi"],
}
"""What is started by a profile alone."""


def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    return document


def mounted(service: str) -> dict[str, str]:
    """What is where in the container -> the file of ours."""
    mounts = [each.split(":") for each in compose()["services"][service]["volumes"]]
    return {there: here.removeprefix("./") for here, there, _mode in mounts}


def of_compose(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose" / name).read_text())
    return document


def test_labels_say_what_the_project_says() -> None:
    [line] = [each for each in LINES if each.startswith("LABEL ")]
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\S+)="([^"]*)"', line))
    [*_, base] = [each.split()[1] for each in LINES if each.startswith("FROM ")]
    assert labels == {
        "title": PROJECT["name"],
        "description": PROJECT["description"],
        "version": __version__,
        "revision": "${REVISION}",
        "licenses": PROJECT["license"],
        "base.name": f"docker.io/library/{base}",
    }


def test_the_user_is_told_by_number_and_is_the_one_that_is_made() -> None:
    [user] = [each.split()[1] for each in LINES if each.startswith("USER ")]
    assert user.isdecimal()
    assert int(user) > 0
    assert any(f"useradd --system --uid {user} " in each for each in LINES)


def test_what_is_started_by_itself_is_what_it_was_without_profiles() -> None:
    services = compose()["services"]
    found = {name: services[name]["profiles"] for name in services if "profiles" in services[name]}
    assert found == BESIDE


def test_prometheus_scrapes_the_host_and_has_the_alarms() -> None:
    there, config = mounted("prometheus"), of_compose("prometheus.yml")
    assert there["/etc/prometheus/prometheus.yml"] == "deploy/compose/prometheus.yml"
    assert [ROOT / there[path] for path in config["rule_files"]] == [RULES]
    services = compose()["services"]
    shared = services["projector"]["network_mode"].removeprefix("service:")
    port = services["projector"]["environment"]["PROJECTOR_WEB_PORT"]
    [job] = config["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"{shared}:{port}"]}]


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    there, services = mounted("grafana"), compose()["services"]
    source, _ = of_compose("grafana-source.yml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert "127.0.0.1:9090:9090" in services["prometheus"]["ports"]
    [provider] = of_compose("grafana-dashboards.yml")["providers"]
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home.startswith(provider["options"]["path"])
    assert ROOT / there[home] == DASHBOARD
    provided = {path for path in there if path.endswith(".json")}
    assert provided == {path for path in there if path.startswith(provider["options"]["path"])}


def test_grafana_and_metabase_read_the_copy_as_the_analyst_who_is_let_in() -> None:
    services = compose()["services"]
    _, source = of_compose("grafana-source.yml")["datasources"]
    url = urlsplit(services["projector"]["environment"]["PROJECTOR_DATABASE_URL"])
    login = {"PGHOST": url.hostname, "PGDATABASE": url.path[1:]}
    assert source["url"] == f"{url.hostname}:{url.port}"
    assert source["jsonData"]["database"] == login["PGDATABASE"]
    owner = services["analyst"]["environment"]
    assert owner == {**login, "PGUSER": url.username, "PGPASSWORD": url.password}
    reader = services["metabase-setup"]["environment"]
    assert login.items() <= reader.items()
    assert source["user"] == reader["PGUSER"]
    assert source["secureJsonData"]["password"] == reader["PGPASSWORD"]
    script = (ROOT / mounted("analyst")["/analyst.sql"]).read_text("utf-8")
    assert f"CREATE ROLE {reader['PGUSER']} LOGIN PASSWORD '{reader['PGPASSWORD']}'" in script
    assert mounted("metabase-setup") == {"/metabase": "deploy/metabase"}
