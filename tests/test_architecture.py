"""House rules that no linter knows: who imports a driver, how long a file or a function may be."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tests.cart_names import offenders
from tests.tested_by import TOGETHER, bears_its_name, modules

ROOT = Path(__file__).parent.parent
SOURCES = sorted(
    path for package in ("projector", "cosmos_emulator") for path in ROOT.glob(f"{package}/**/*.py")
)
EVERYTHING = sorted(
    path
    for folder in (
        "projector",
        "cosmos_emulator",
        "migrations",
        "tests",
        "benchmarks",
        "clients",
        "deploy",
    )
    for path in ROOT.glob(f"{folder}/**/*.py")
)
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50
MAX_MEDIAN_FUNCTION_LINES = 10

SOLE_IMPORTERS = {
    "alembic": ("projector/postgres", "migrations"),
    "apscheduler": ("projector/housekeeping",),
    "azure": ("projector/cosmos",),
    "opentelemetry": ("projector/telemetry/otlp",),
    "psycopg": ("projector/postgres", "migrations"),
    "psycopg_pool": ("projector/postgres",),
    "sqlalchemy": ("projector/postgres", "migrations"),
}
"""Driver -> the folders (or modules) of the product that may import it."""

FORBIDDEN_IMPORTS = {
    "The core does no IO and reads no clock": (
        {"core", "projection"},
        set(),
    ),
    "Orchestration knows ports, not drivers": (
        {"housekeeping", "ports", "operations", "processor", "rebuild", "reconcile", "web"},
        {"cosmos", "postgres", "settings"},
    ),
    "Only the demo and the command line start an emulator": (
        {path.stem for path in (ROOT / "projector").glob("[!_]*")} - {"cli", "demo"},
        set(),
    ),
    "The change feed processor is generic over the change": (
        {"cosmos", "ports.feed", "processor"},
        {"ports.rows", "projection"},
    ),
    "The library needs no PostgreSQL": (
        {"changefeed"},
        {"postgres", "projection", "wiring"},
    ),
}
"""Contract -> who may not import, and which of our modules; import-linter adds the drivers."""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports_of(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def functions_of(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def contracts() -> list[dict[str, Any]]:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = config["tool"]["importlinter"]["contracts"]
    return found


def exists(module: str) -> bool:
    path = ROOT / "projector" / module.replace(".", "/")
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def ours(modules: list[str]) -> set[str]:
    return {m.removeprefix("projector.") for m in modules if m.startswith("projector.")}


def normal(distribution: str) -> str:
    return distribution.lower().replace("_", "-")


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@cache
def imports(path: Path) -> Sequence[str]:
    """Names that a file imports, read once for all the rules about them."""
    return tuple(imports_of(parsed(path)))


def may_import(path: Path, places: tuple[str, ...]) -> bool:
    return any(f"{name_of(path)}/".startswith((f"{place}/", f"{place}.py")) for place in places)


@pytest.mark.parametrize("driver", SOLE_IMPORTERS)
def test_driver_is_imported_at_its_edge_alone(driver: str) -> None:
    places = SOLE_IMPORTERS[driver]
    importers = [
        name_of(path)
        for path in [*SOURCES, *ROOT.glob("migrations/**/*.py")]
        if not may_import(path, places)
        and any(name.split(".")[0] == driver for name in imports(path))
    ]
    assert importers == [], f"{driver} may be imported in {', '.join(places)} only"


def test_no_file_is_too_long() -> None:
    lengths = {name_of(p): len(p.read_text(encoding="utf-8").splitlines()) for p in EVERYTHING}
    assert {name: n for name, n in lengths.items() if n > MAX_FILE_LINES} == {}


def test_no_function_is_too_long() -> None:
    too_long = {
        f"{name_of(path)}:{function}": lines
        for path in EVERYTHING
        for function, lines in functions_of(parsed(path))
        if lines > MAX_FUNCTION_LINES
    }
    assert too_long == {}


def test_most_functions_are_short() -> None:
    lengths = [lines for path in SOURCES for _name, lines in functions_of(parsed(path))]
    assert median(lengths) <= MAX_MEDIAN_FUNCTION_LINES


def test_every_module_opens_with_its_contract() -> None:
    silent = [name_of(path) for path in SOURCES if ast.get_docstring(parsed(path)) is None]
    assert silent == []


def test_every_import_is_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = project["optional-dependencies"]["otel"]
    declared = {
        normal(re.split(r"[<>=\[]", requirement)[0])
        for requirement in [*project["dependencies"], *extra]
    }
    owners = metadata.packages_distributions()
    imported = {name.split(".")[0] for path in SOURCES for name in imports(path)}
    # pytest: the emulator's plugin is loaded by pytest alone.
    foreign = imported - sys.stdlib_module_names - {"projector", "cosmos_emulator", "pytest"}
    undeclared = {n for n in foreign if not declared & {normal(o) for o in owners.get(n, ())}}
    assert undeclared == set()


def test_pytest_is_imported_by_its_plugin_alone() -> None:
    importers = [name_of(path) for path in SOURCES if "pytest" in set(imports(path))]
    assert importers == ["cosmos_emulator/pytest_plugin.py"]


def test_no_test_replaces_our_code_by_a_mock() -> None:
    mocked = [
        name_of(path)
        for path in ROOT.glob("tests/**/*.py")
        if any(name.startswith("unittest.mock") for name in imports(path))
    ]
    assert mocked == []


def test_every_module_has_its_layer() -> None:
    layers = next(contract["layers"] for contract in contracts() if contract["type"] == "layers")
    listed = {part.strip(" ()") for layer in layers for part in layer.split("|")}
    found = {
        f"projector.{path.stem}"
        for path in (ROOT / "projector").iterdir()
        if (path.is_dir() or path.suffix == ".py") and not path.name.startswith((".", "__"))
    }
    assert found - listed == set()


@pytest.mark.parametrize("name", FORBIDDEN_IMPORTS)
def test_contract_names_every_module_it_is_about_that_exists(name: str) -> None:
    contract = next((c for c in contracts() if c["name"] == name), None)
    importers, imported = (set(filter(exists, part)) for part in FORBIDDEN_IMPORTS[name])
    if not importers:
        assert contract is None
        return
    assert contract is not None
    assert ours(contract["source_modules"]) == importers
    assert ours(contract["forbidden_modules"]) == imported


def test_layer_rules_recognise_a_trespasser() -> None:
    driver, places = "azure", SOLE_IMPORTERS["azure"]
    tree = ast.parse("def late():\n    from azure.cosmos import CosmosClient\n")
    assert [name.split(".")[0] for name in imports_of(tree)] == [driver]
    assert not may_import(ROOT / "projector/cosmos_like/client.py", places)
    assert may_import(ROOT / "projector/cosmos/client.py", places)
    assert may_import(ROOT / "projector/housekeeping.py", SOLE_IMPORTERS["apscheduler"])
    assert [n for _name, n in functions_of(tree)] == [2]


def test_only_the_definition_names_the_columns_of_carts() -> None:
    assert list(offenders()) == [], "take it from the definition (projection/carts.py)"


def test_the_definition_is_chosen_in_one_module() -> None:
    importers = {
        name_of(path) for path in SOURCES if "projector.projection.carts" in set(imports(path))
    }
    # The first generation's tables were made by the baseline: they are those of carts.
    assert importers == {"projector/postgres/generation.py", "projector/projection/chosen.py"}


ROOMS = sorted(path for path in (ROOT / "projector").iterdir() if (path / "__init__.py").exists())


@pytest.mark.parametrize("room", [ROOT / "projector", *ROOMS], ids=lambda path: path.name)
def test_what_acts_has_a_test_module_of_its_name_or_is_named_by_one(room: Path) -> None:
    told = {
        one for names in TOGETHER.values() for one in names if one.rpartition("/")[0] == room.name
    }
    if room.name == "projector":
        told = {one for names in TOGETHER.values() for one in names if "/" not in one}
    acting = set(modules(room))
    assert {one for one in acting if not bears_its_name(one)} == told


def test_test_modules_that_are_said_to_test_something_are_there() -> None:
    assert [name for name in TOGETHER if not (ROOT / f"tests/{name}.py").exists()] == []
    told = [one for names in TOGETHER.values() for one in names]
    assert sorted(told) == sorted(set(told))


CONNECTS = {
    ("psycopg", "connect"): {"postgres/properties.py", "postgres/embedded.py"},
    ("PGconn", "connect_start"): {"postgres/errors.py"},
    ("", "AsyncConnectionPool"): {"postgres/connections.py"},
    ("", "create_engine"): {"postgres/migrate.py"},
    ("AsyncConnection", "connect"): set(),
}
"""Ways to a session -> the modules that may take them: every session is made ready (`properties`)."""


def test_sessions_of_postgresql_are_made_where_they_are_made_ready() -> None:
    found: dict[tuple[str, str], set[str]] = {way: set() for way in CONNECTS}
    for path in SOURCES:
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(call, ast.Call):
                continue
            *owner, name = ast.unparse(call.func).split(".")
            way = (owner[-1] if owner else "", name)
            if way in found:
                found[way].add(path.relative_to(ROOT / "projector").as_posix())
    assert found == CONNECTS
