"""The reference pages name everything there is, and nothing that is not."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import PydanticUndefined
from typer.main import get_command

from projector.cli import failures
from projector.cli.app import app
from projector.core import errors
from projector.core.errors import ProjectorError, SettingsError
from projector.core.health import Diagnosis, Health
from projector.housekeeping import HousekeepingEvent
from projector.postgres.embedded_programs import EmbeddedPostgresError
from projector.processor.events import Event as ProcessorEvent
from projector.settings import Settings, variable
from projector.telemetry.fleet import FleetFigures
from projector.telemetry.logs import Event as WiringEvent
from projector.telemetry.metrics import Metrics
from projector.web.door import WebEvent

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *DOCS.parent.glob("*.md"), *DOCS.parent.glob("*/README.md")])


def page(name: str) -> str:
    return (DOCS / "reference" / name).read_text("utf-8")


def first_cells(text: str) -> set[str]:
    return set(re.findall(r"^\| `([^`]+)` \|", text, flags=re.MULTILINE))


def commands() -> set[str]:
    found = set()

    def walk(command: object, path: str) -> None:
        children = getattr(command, "commands", None)
        if children is None:
            found.add(path)
            return
        for name, child in children.items():
            walk(child, f"{path} {name}")

    walk(get_command(app), "projector")
    return found


def test_every_setting_is_described_with_its_default() -> None:
    rows = dict(
        re.findall(r"^\| `(PROJECTOR_\w+)` \| (.*?) \| .+ \|$", page("settings.md"), re.MULTILINE)
    )
    assert set(rows) == {variable(name) for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        if field.default not in {None, PydanticUndefined}:
            told = rows[variable(name)].strip("`")
            assert told in {
                str(field.default),
                str(field.default).lower(),
                f"{field.default:g}" if isinstance(field.default, float) else told,
            }


def test_the_settings_page_says_what_the_code_says() -> None:
    text = page("settings.md")
    missing = [
        name
        for name, field in Settings.model_fields.items()
        if (field.description or "?") not in text
    ]
    assert missing == []


def test_every_command_has_a_heading() -> None:
    headings = set(re.findall(r"^## (projector .+)$", page("cli.md"), re.MULTILINE))
    assert headings == commands()


def test_every_error_has_a_row() -> None:
    known = {
        name
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, ProjectorError)
    }
    known |= {kind.__name__ for kind in (SettingsError, failures.UsageError, EmbeddedPostgresError)}
    assert first_cells(page("errors.md")) == known


def labels_of(family: Any, metric: Any) -> Sequence[str]:
    names: Sequence[str] = (
        family._labelnames if hasattr(family, "_labelnames") else metric._labelnames
    )
    return names


def test_every_metric_has_a_row_with_its_type_and_labels() -> None:
    told = {
        name: (kind, {label for label in labels.strip().split(", ") if label})
        for name, kind, labels in re.findall(
            r"^\| `(projector_\w+)` \| (\w+) \|([^|]*)\|", page("metrics.md"), re.MULTILINE
        )
    }
    unknown = Diagnosis(health=Health.UNKNOWN, reason="", healthy=False)
    metrics = Metrics(
        lambda: FleetFigures(diagnosis=unknown, look_age_seconds=0.0, known_seconds=0.0)
    )
    known = {}
    for metric in vars(metrics).values():
        for family in metric.describe() if hasattr(metric, "describe") else []:
            name = f"{family.name}_total" if family.type == "counter" else family.name
            known[name] = (family.type, set(labels_of(family, metric)))
    assert told == known


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(DOCS.parent)))
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\((?!https?://)([^)#]*)(?:#[^)]*)?\)", path.read_text("utf-8"))
    assert [target for target in targets if target and not (path.parent / target).exists()] == []


def anchors_of(path: Path) -> set[str]:
    """The names of its sections, as a link has them."""
    prose = re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).strip().replace(" ", "-") for each in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(DOCS.parent)))
def test_links_to_a_section_lead_to_one(path: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]*)#([^)]*)\)", path.read_text("utf-8"))
    pages = [(path.parent / page if page else path, section) for page, section in links]
    assert [
        f"{page.name}#{section}"
        for page, section in pages
        if page.suffix == ".md" and section not in anchors_of(page)
    ] == []


@pytest.mark.parametrize("events", [ProcessorEvent, WiringEvent, HousekeepingEvent, WebEvent])
def test_every_log_event_is_described(events: type[StrEnum]) -> None:
    assert {event.value for event in events} <= first_cells(page("events.md"))
