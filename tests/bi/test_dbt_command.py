"""`projector bi dbt` writes the package of what the views read, and nothing over what is not its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
import yaml

from projector.bi.package import files_of
from projector.cli.app import run_line
from projector.postgres.generation import FIRST_GENERATION
from projector.projection.definition_text import definition_to_json
from tests.views_contract import RELATIONS, SCHEMA


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROJECTOR_DATABASE_URL", database_url)
    return tmp_path / "package"


def tables_of(folder: Path) -> dict[str, str]:
    [source] = yaml.safe_load((folder / "models/sources.yml").read_text("utf-8"))["sources"]
    return {table["name"]: table["description"] for table in source["tables"]}


def test_what_is_missing_is_written_and_other_files_are_left_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = folder / "models" / "mine.sql"
    mine.parent.mkdir(parents=True)
    mine.write_text("SELECT 1")
    for _ in range(2):
        assert run_line(["bi", "dbt", "--out", "package"]) == 0
    assert mine.read_text() == "SELECT 1"
    files = files_of(FIRST_GENERATION)
    assert {name: (folder / name).read_text("utf-8") for name in files} == dict(files)
    assert "dbt build --project-dir package" in capsys.readouterr().out


def test_each_view_of_the_schema_is_a_source(folder: Path, database_url: str) -> None:
    assert run_line(["bi", "dbt", "--out", "package"]) == 0
    with psycopg.connect(database_url) as connection:
        views = {str(row[0]): row[1] for row in connection.execute(RELATIONS, [SCHEMA])}
    assert tables_of(folder) == views


def test_it_follows_the_generation_that_is_live(folder: Path, database_url: str) -> None:
    built = replace(FIRST_GENERATION.definition, rows_comment="Lines as they were built.")
    with psycopg.connect(database_url) as connection:
        change = "UPDATE projector.generations SET definition = %s WHERE state = 'live'"
        connection.execute(change, [definition_to_json(built)])
    assert run_line(["bi", "dbt", "--out", "package"]) == 0
    assert tables_of(folder)[built.rows] == "Lines as they were built."


def test_a_folder_that_cannot_be_written_is_a_matter_of_usage(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.write_text("")
    assert run_line(["bi", "dbt", "--out", "package"]) == 2
    assert "name a folder of yours with --out" in capsys.readouterr().err
