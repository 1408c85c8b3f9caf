"""Names, units, help and types as Prometheus wants them, over what a host exposes in truth."""

from __future__ import annotations

import re

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.deploy.operators_files import exposition

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
NOT_BASE_UNITS = {
    *("milliseconds", "ms", "microseconds", "us", "minutes", "hours", "days", "kilobytes", "kb"),
    *("mb", "megabytes", "mib", "gb", "percent", "pct"),
}
UNITS = ("seconds", "bytes")
RESERVED = ("_count", "_sum", "_bucket", "_created", "_info")
FROM_THE_CLIENT = "process_"


def faults(metric: Metric) -> list[str]:
    """What is wrong with one family, in words."""
    name = metric.name
    words = name.split("_")
    found = {
        "no lower snake case": NAME.fullmatch(name) is None,
        "another prefix": words[0] != "projector",
        "no base unit": bool(NOT_BASE_UNITS & set(words)),
        "the unit is not last": any(unit in words[:-1] for unit in UNITS),
        "its type in its name": bool({"gauge", "counter", "histogram", "summary"} & set(words)),
        "no type": metric.type in {"unknown", "untyped"},
        "no help": not metric.documentation,
        "help is no sentence": re.fullmatch(r"[A-Z0-9].*\.", metric.documentation) is None,
        "`_total` on no counter": metric.type != "counter" and name.endswith("_total"),
        "a reserved ending": name.endswith(RESERVED) and name != "projector_build_info",
        "no sample": not metric.samples,
    }
    if metric.type == "counter":
        found["a counter without `_total`"] = {s.name for s in metric.samples} != {f"{name}_total"}
    for sample in metric.samples:
        for label in set(sample.labels) - {"le"}:
            found[f"label {label}"] = NAME.fullmatch(label) is None or label in {"job", "instance"}
    return [what for what, is_so in found.items() if is_so]


def test_everything_that_is_exposed_is_as_prometheus_wants_it() -> None:
    families = [
        one
        for one in text_string_to_metric_families(exposition())
        if not one.name.startswith(FROM_THE_CLIENT) and not one.name.endswith("_created")
    ]
    assert len(families) > 25
    assert {one.name: faults(one) for one in families if faults(one)} == {}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("# HELP projector_lag_ms Lag.\n# TYPE projector_lag_ms gauge\n", "no base unit"),
        ("# HELP projector_lag Lag\n# TYPE projector_lag gauge\n", "help is no sentence"),
        ("# TYPE projector_lag gauge\n", "no help"),
        ("# HELP projector_lag Lag.\n", "no type"),
        ("# HELP projectorLag Lag.\n# TYPE projectorLag gauge\n", "no lower snake case"),
        ("# HELP lag Lag.\n# TYPE lag gauge\n", "another prefix"),
        (
            "# HELP projector_seconds_of_lag Lag.\n# TYPE projector_seconds_of_lag gauge\n",
            "the unit is not last",
        ),
        (
            "# HELP projector_lags_total Lag.\n# TYPE projector_lags_total gauge\n",
            "`_total` on no counter",
        ),
    ],
)
def test_the_lint_notices_a_fault(text: str, fault: str) -> None:
    [metric] = text_string_to_metric_families(text)
    assert fault in faults(metric)
