"""The command line speaks in the words of the definition that the program projects by."""

from __future__ import annotations

import subprocess
import sys

import pytest

OF_ORDERS = """
import sys
from projector.projection import chosen
from tests.orders import ORDERS
chosen.DEFINITION = ORDERS
from projector.cli.app import run_line
sys.exit(run_line(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        pytest.param(
            "explain --help", ("CUSTOMER_ID", "of one customer,", "of the customer."), id="argument"
        ),
        pytest.param("quarantine list --help", ("--customer", "of this customer"), id="option"),
    ],
)
def test_help_names_what_the_definition_names(line: str, words: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OF_ORDERS, *line.split()],
        capture_output=True,
        text=True,
        check=True,
    )

    assert [word for word in words if word not in done.stdout] == []
    assert "cart" not in done.stdout.lower()
