"""A short run of each fuzzer; the long ones are started by hand."""

from __future__ import annotations

import pytest

from tests.fuzz import documents, emulator, leases, queries
from tests.fuzz.inputs import run

INPUTS = 400


@pytest.mark.parametrize(
    "check",
    [documents.check, leases.check, emulator.check, queries.check],
    ids=["documents", "leases", "emulator", "queries"],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_no_input_breaks_it(check: object, seed: int) -> None:
    assert callable(check)
    assert run(check, INPUTS, seed) == 0
