from __future__ import annotations

import math

import pytest

from cosmos_emulator.errors import EmulatorError
from cosmos_emulator.ttl import default_ttl, expires_at, item_ttl


@pytest.mark.parametrize(
    ("default", "own", "expected"),
    [
        pytest.param(None, None, math.inf, id="off"),
        pytest.param(None, -1, math.inf, id="off, never"),
        pytest.param(None, 5, math.inf, id="off, stored and ignored"),
        pytest.param(-1, None, math.inf, id="on without a default"),
        pytest.param(-1, -1, math.inf, id="on without a default, never"),
        pytest.param(-1, 5, 105, id="on without a default, own"),
        pytest.param(30, None, 130, id="default"),
        pytest.param(30, -1, math.inf, id="default, never"),
        pytest.param(30, 5, 105, id="default, own"),
    ],
)
def test_expiry_follows_the_table(default: int | None, own: int | None, expected: float) -> None:
    assert expires_at(100, own, default) == expected


@pytest.mark.parametrize("value", [0, -2, 2**31, 1.5, "10", True, None])
def test_an_invalid_ttl_is_refused(value: object) -> None:
    with pytest.raises(EmulatorError) as caught:
        item_ttl({"ttl": value})
    assert (caught.value.status, caught.value.code) == (400, "BadRequest")


@pytest.mark.parametrize("value", [0, -2, "10", 2**31])
def test_an_invalid_default_is_refused(value: object) -> None:
    with pytest.raises(EmulatorError):
        default_ttl({"defaultTtl": value})


def test_no_ttl_is_no_ttl() -> None:
    assert item_ttl({}) is None
    assert default_ttl({"defaultTtl": None}) is None
