"""Verify, quarantine, explain and doctor as they are typed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.acceptance.shop import Shop
from tests.acceptance.support import CommandLine

DRIFT = 3


def answer(command_line: CommandLine, *arguments: str, code: int = 0) -> Any:
    """The JSON document of a command; nothing else may be on standard output."""
    finished = command_line.run(*arguments, "--json")
    assert finished.code == code, finished.stderr
    return json.loads(finished.stdout)


@pytest.fixture
def copied(shop: Shop, command_line: CommandLine) -> Shop:
    """A shop with three good lines and one bad one, copied."""
    shop.create_database()
    for number in range(3):
        shop.add("cart-1", f"item {number}", number + 1, price=2.5, currency="EUR")
    shop.carts.create_item({"id": "bad", "cartId": "cart-1", "item": "x", "quantity": "many"})
    assert command_line.run("run", "--until-caught-up").code == 0
    return shop


def test_verify_finds_names_and_mends_what_was_planted(
    copied: Shop, command_line: CommandLine
) -> None:
    copied.sql.execute("UPDATE projector_g1.cart_items SET quantity = 9 WHERE item = 'item 0'")
    found = answer(command_line, "verify", code=DRIFT)
    assert {name: found[name] for name in ("consistent", "documents", "rows", "stale")} == {
        "consistent": False,
        "documents": 4,
        "rows": 3,
        "stale": 1,
    }
    assert (found["missing"], found["extra"], found["repaired"]) == (0, 0, 0)
    assert found["totals_wrong"] == 2
    assert "quantity is 9, not 1" in found["examples"][0]["detail"]
    told = command_line.run("verify")
    assert told.code == DRIFT
    assert "projector verify --repair" in told.stdout

    mended = answer(command_line, "verify", "--repair")
    assert (mended["consistent"], mended["stale"], mended["not_repaired"]) == (True, 1, [])
    again = command_line.run("verify")
    assert again.code == 0, again.stderr
    assert "4 documents, 3 rows: 0 missing, 0 extra, 0 stale, 0 totals wrong" in again.stdout
    assert "PostgreSQL equals the container" in again.stdout


def test_quarantine_is_retried_by_hand(copied: Shop, command_line: CommandLine) -> None:
    row = copied.sql.execute("SELECT id FROM projector.quarantine").fetchone()
    assert row is not None
    entry = str(row[0])
    assert command_line.run("quarantine", "retry").code == 2
    assert "quarantine list" in command_line.run("quarantine", "retry", "4711").error_line
    assert "still_rejected" in command_line.run("quarantine", "retry", entry).stdout

    copied.carts.upsert_item({"id": "bad", "cartId": "cart-1", "item": "x", "quantity": 5})
    retried = answer(command_line, "quarantine", "retry", "--all")["retried"]
    assert [(str(one["id"]), one["outcome"]) for one in retried] == [(entry, "healed")]


def test_explain_and_doctor_answer(copied: Shop, command_line: CommandLine) -> None:
    told = command_line.run("explain", "cart-1")
    assert told.code == 0, told.stderr
    assert "copied: the row is this very version" in told.stdout
    assert "kept as quarantine entry" in told.stdout
    explained = answer(command_line, "explain", "cart-1")
    assert {one["in_container"] for one in explained["documents"]} == {"good", "rejected"}

    health = answer(command_line, "doctor")
    assert health["healthy"] is True
    sick = command_line.with_settings(COSMOS_CONTAINER="nothing").run("doctor")
    assert sick.code == 1
    assert "failed   container" in sick.stdout
    assert "Traceback" not in sick.stderr
