"""What the cookbook says is found by index is found so among a million lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from projector.postgres.generation import FIRST_GENERATION
from tests.bi.cookbook import BY_INDEX, Question, questions
from tests.bi.million import million_lines
from tests.bi.plans import scanned
from tests.fixtures.postgres import new_database


@pytest.fixture(scope="module")
def million(postgres_server_url: str, migrated_template: str) -> Iterator[psycopg.Connection[Any]]:
    with (
        new_database(postgres_server_url, template=migrated_template) as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        million_lines(connection)
        connection.execute(f"SET ROLE {FIRST_GENERATION.definition.reader_role}".encode())
        yield connection


@pytest.mark.slow
@pytest.mark.parametrize("question", questions(), ids=lambda question: question.asks)
def test_a_question_reads_what_the_page_says_it_reads(
    question: Question, million: psycopg.Connection[Any]
) -> None:
    found = scanned(million, question.sql)
    assert not (found and question.reads in BY_INDEX), found
    assert found or question.reads != "Everything", "it is found by index: say so"
