"""What the cookbook says is found by index is found so among a million lines."""

from __future__ import annotations

import psycopg
import pytest

from projector.postgres.generation import FIRST_GENERATION
from tests.bi.cookbook import BY_INDEX, questions
from tests.bi.million import million_lines
from tests.bi.plans import scanned
from tests.fixtures.postgres import new_database


# One test, since each of two workers would make a million lines for its share of several.
@pytest.mark.slow
def test_a_question_reads_what_the_page_says_it_reads(
    postgres_server_url: str, migrated_template: str
) -> None:
    with (
        new_database(postgres_server_url, template=migrated_template) as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        million_lines(connection)
        connection.execute(f"SET ROLE {FIRST_GENERATION.definition.reader_role}".encode())
        found = {each.asks: scanned(connection, each.sql) for each in questions()}
    assert {
        each.asks: found[each.asks]
        for each in questions()
        if found[each.asks] and each.reads in BY_INDEX
    } == {}, "said to be by index"
    assert [
        each.asks for each in questions() if each.reads == "Everything" and not found[each.asks]
    ] == [], "found by index: say so"
