"""House rules that no linter knows: who imports a driver, how long a file or a function may be."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted(ROOT.glob("projector/**/*.py"))
EVERYTHING = sorted(
    path
    for folder in ("projector", "migrations", "tests", "benchmarks")
    for path in ROOT.glob(f"{folder}/**/*.py")
)
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50
MAX_MEDIAN_FUNCTION_LINES = 10

SOLE_IMPORTERS = {
    "alembic": ("projector/postgres", "migrations"),
    "apscheduler": ("projector/housekeeping",),
    "azure": ("projector/cosmos",),
    "psycopg": ("projector/postgres", "migrations"),
    "psycopg_pool": ("projector/postgres",),
    "sqlalchemy": ("projector/postgres", "migrations"),
}
"""Driver -> the folders (or modules) of the product that may import it."""


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


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def may_import(path: Path, places: tuple[str, ...]) -> bool:
    return any(f"{name_of(path)}/".startswith((f"{place}/", f"{place}.py")) for place in places)


@pytest.mark.parametrize("driver", SOLE_IMPORTERS)
def test_driver_is_imported_at_its_edge_alone(driver: str) -> None:
    places = SOLE_IMPORTERS[driver]
    importers = [
        name_of(path)
        for path in [*SOURCES, *ROOT.glob("migrations/**/*.py")]
        if not may_import(path, places)
        and any(name.split(".")[0] == driver for name in imports_of(parsed(path)))
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


def test_no_test_replaces_our_code_by_a_mock() -> None:
    mocked = [
        name_of(path)
        for path in ROOT.glob("tests/**/*.py")
        if any(name.startswith("unittest.mock") for name in imports_of(parsed(path)))
    ]
    assert mocked == []


def test_every_module_has_its_layer() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = config["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    listed = {part.strip(" ()") for layer in layers for part in layer.split("|")}
    found = {
        f"projector.{path.stem}"
        for path in (ROOT / "projector").iterdir()
        if (path.is_dir() or path.suffix == ".py") and not path.name.startswith((".", "__"))
    }
    assert found - listed == set()


def test_layer_rules_recognise_a_trespasser() -> None:
    driver, places = "azure", SOLE_IMPORTERS["azure"]
    tree = ast.parse("def late():\n    from azure.cosmos import CosmosClient\n")
    assert [name.split(".")[0] for name in imports_of(tree)] == [driver]
    assert not may_import(ROOT / "projector/cosmos_like/client.py", places)
    assert may_import(ROOT / "projector/cosmos/client.py", places)
    assert may_import(ROOT / "projector/housekeeping.py", SOLE_IMPORTERS["apscheduler"])
    assert [n for _name, n in functions_of(tree)] == [2]
