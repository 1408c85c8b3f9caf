"""The manifests follow their APIs, fit together, and fit the program.

The schema is a strict part of the APIs, written by hand; `kubectl kustomize` builds the example where it is.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError

from projector.core.names import InstanceName
from projector.processor.options import ProcessorOptions
from projector.settings import Settings, variable
from tests.deploy.operators_files import ROOT, RULES
from tests.deploy.test_howto_commands import fault_of

FOLDER = ROOT / "deploy" / "kubernetes"
FILES = sorted(FOLDER.rglob("*.yaml"))
SCHEMA = json.loads((Path(__file__).parent / "kubernetes.schema.json").read_text("utf-8"))
KUBECTL = shutil.which("kubectl")
NAME = "cosmos-projector"


def loaded(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return document


def manifest(name: str) -> dict[str, Any]:
    return loaded(FOLDER / f"{name}.yaml")


def check(document: dict[str, Any]) -> None:
    Draft202012Validator(SCHEMA).validate(document)


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for name in ("base/deployment", "migrate/job"):
        yield name, manifest(name)["spec"]["template"]


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_a_manifest_follows_its_api(path: Path) -> None:
    check(loaded(path))


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("base/deployment", ["spec", "replica"], 2),
        ("base/deployment", ["spec", "replicas"], "2"),
        ("base/deployment", ["apiVersion"], "extensions/v1beta1"),
        ("base/deployment", ["spec", "template", "spec", "containers", 0, "livenesProbe"], {}),
        ("base/service", ["spec", "ports", 0, "port"], 80_000),
        ("base/poddisruptionbudget", ["spec", "maxUnavailable"], "one"),
        ("base/networkpolicy", ["spec", "policyTypes"], ["Outgress"]),
        ("keda/scaledobject", ["spec", "triggers", 0, "metadata", "changeFeedLagThreshold"], 100),
        ("monitoring/servicemonitor", ["spec", "endpoints", 0, "interval"], "15"),
        ("base/configmap", ["data", "PROJECTOR_WEB_PORT"], 8080),
    ],
)
def test_the_schema_refuses_a_mistake(name: str, path: list[Any], value: object) -> None:
    broken = deepcopy(manifest(name))
    place: Any = broken
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ValidationError):
        check(broken)


def test_a_folder_lists_all_that_is_in_it() -> None:
    for path in FOLDER.rglob("kustomization.yaml"):
        here = {each.name for each in path.parent.glob("*.yaml")} - {path.name}
        listed = loaded(path)
        assert {each for each in listed["resources"] if not each.startswith("..")} == here
        others = [*listed["resources"], *listed.get("components", ())]
        assert all((path.parent / each).exists() for each in others)


def test_what_selects_hosts_selects_the_pods_of_the_deployment_alone() -> None:
    labels = manifest("base/deployment")["spec"]["template"]["metadata"]["labels"]
    job = manifest("migrate/job")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        manifest("base/deployment")["spec"]["selector"]["matchLabels"],
        manifest("base/service")["spec"]["selector"],
        manifest("base/poddisruptionbudget")["spec"]["selector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector.items() <= labels.items()
        assert not selector.items() <= job.items()
    policy = manifest("base/networkpolicy")["spec"]["podSelector"]["matchLabels"]
    assert policy.items() <= labels.items() & job.items()
    monitor = manifest("monitoring/servicemonitor")["spec"]["selector"]["matchLabels"]
    assert monitor.items() <= manifest("base/service")["metadata"]["labels"].items()


@pytest.mark.parametrize(("name", "pod"), list(pods()))
def test_a_pod_runs_a_command_that_there_is_with_few_rights(name: str, pod: dict[str, Any]) -> None:
    [container] = pod["spec"]["containers"]
    assert fault_of(container["args"]) is None, name
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    uid = pod["spec"]["securityContext"]["runAsUser"]
    assert f"--uid {uid}" in (ROOT / "Dockerfile").read_text("utf-8")
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_a_stop_gets_the_time_that_a_host_may_take() -> None:
    options = ProcessorOptions(processor_name="any", instance_name=InstanceName("any"))
    pod = manifest("base/deployment")["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] >= options.drain_seconds + 2


def test_probes_scrapes_and_policy_meet_the_port_of_the_program() -> None:
    [container] = manifest("base/deployment")["spec"]["template"]["spec"]["containers"]
    port = Settings.model_fields["web_port"].default
    assert container["ports"] == [{"name": "http", "containerPort": port}]
    assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "http"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    [scraped] = manifest("monitoring/servicemonitor")["spec"]["endpoints"]
    assert (scraped["port"], scraped["path"]) == ("http", "/metrics")
    [into] = manifest("base/networkpolicy")["spec"]["ingress"]
    assert into["ports"] == [{"protocol": "TCP", "port": port}]


def test_settings_are_known_ones_and_secrets_are_in_no_config_map() -> None:
    data = manifest("base/configmap")["data"]
    assert data.keys() <= {variable(name) for name in Settings.model_fields}
    assert not data.keys() & {"PROJECTOR_COSMOS_KEY", "PROJECTOR_DATABASE_URL"}


def test_keda_reads_the_leases_that_hosts_write() -> None:
    scaled = manifest("keda/scaledobject")["spec"]
    [trigger] = scaled["triggers"]
    told, data = trigger["metadata"], manifest("base/configmap")["data"]
    fields = Settings.model_fields
    assert told["processorName"] == fields["processor_name"].default
    assert told["leaseContainerId"] == fields["lease_container"].default
    assert told["databaseId"] == told["leaseDatabaseId"] == data["PROJECTOR_COSMOS_DATABASE"]
    assert told["containerId"] == data["PROJECTOR_COSMOS_CONTAINER"]
    from_settings = {value for name, value in told.items() if name.endswith("FromEnv")}
    assert from_settings <= {variable(name) for name in fields}
    target = scaled["scaleTargetRef"]
    deployment = manifest("base/deployment")
    assert target["name"] == deployment["metadata"]["name"]
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert target["envSourceContainerName"] == container["name"]
    assert scaled["minReplicaCount"] >= 1, "a restored database is behind its bookmarks"


def test_the_operator_gets_the_alarms_that_are_tested() -> None:
    assert manifest("monitoring/prometheusrule")["spec"] == loaded(RULES)


@pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")
def test_the_example_is_built_and_all_of_it_follows_its_api() -> None:
    assert KUBECTL is not None
    built = subprocess.run(
        [KUBECTL, "kustomize", str(FOLDER / "example")],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    documents = {
        (one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(built.stdout)
    }
    secrets = {name for kind, name in documents if kind == "Secret"}
    assert len(secrets) == 2
    for (kind, _name), document in documents.items():
        if kind != "Secret":
            check(document)
    deployment = documents["Deployment", NAME]
    assert "replicas" not in deployment["spec"]
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["run", "--no-migrate"]
    assert container["envFrom"][1]["secretRef"]["name"] in secrets
