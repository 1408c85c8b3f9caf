"""Each question of the cookbook is asked as an analyst would, and answered with what is known."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from projector.postgres.psql import find_psql, libpq_environment
from tests.bi.answers import answers
from tests.bi.cookbook import Question, questions
from tests.bi.shop import OpenShop

ALL = questions()


@pytest.fixture(scope="module")
def asked(shop: OpenShop) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(shop.analyst_url, autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize("question", ALL, ids=lambda question: question.asks)
def test_the_answer_is_what_is_known(
    question: Question, asked: psycopg.Connection[Any], shop: OpenShop
) -> None:
    found = [tuple(map(told, row)) for row in asked.execute(question.sql.encode())]
    assert found == answers(shop.now)[question.asks]


def told(value: Any) -> str:
    """A value as psql shows it, more or less."""
    if value is None:
        return "-"
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_every_question_has_its_answer() -> None:
    assert [each.asks for each in ALL] == list(answers(0))


def test_there_are_at_least_thirty_questions() -> None:
    assert len(ALL) >= 30


def test_the_page_goes_through_psql_as_it_stands(shop: OpenShop) -> None:
    script = "\n".join(each.sql for each in ALL)
    done = subprocess.run(
        [find_psql(shop.analyst_url), "--no-psqlrc", "--csv", "--set=ON_ERROR_STOP=1"],
        env=libpq_environment(shop.analyst_url),
        input=script,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Surface Pro,EUR,4,4096\n" in done.stdout
