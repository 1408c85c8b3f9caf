"""A rebuild as it is typed: a changed definition brought to the readers, and what is refused."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.shop import Shop
from tests.acceptance.support import CommandLine, in_a_terminal, until_equal

DRIFT = 3
NEXT = "tests.acceptance.next_release"


def answer(command_line: CommandLine, *arguments: str, code: int = 0) -> Any:
    """The JSON document of a command; nothing else may be on standard output."""
    finished = command_line.run(*arguments, "--json")
    assert finished.code == code, finished.stderr
    return json.loads(finished.stdout)


def rows_of(shop: Shop, query: str) -> list[Mapping[str, Any]]:
    cursor = shop.sql.execute(query)
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def state_of(shop: Shop, generation: int) -> object:
    query = "SELECT state FROM projector.generations WHERE id = %s"
    row = shop.sql.execute(query, [generation]).fetchone()
    return None if row is None else row[0]


@pytest.fixture
def stocked(shop: Shop) -> Shop:
    """A shop with forty lines, some with a weight; nothing is copied yet."""
    shop.create_database()
    for number in range(40):
        weight = {"weight": 10.5} if number % 2 else {}
        shop.add(f"cart-{number % 7}", f"item {number % 5}", number + 1, price=2.5, **weight)
    return shop


def test_a_new_column_and_a_changed_total_come_by_a_rebuild_and_go_by_a_rollback(
    stocked: Shop, command_line: CommandLine
) -> None:
    assert command_line.run("run", "--until-caught-up").code == 0
    stocked.sql.execute("CREATE VIEW public.report AS SELECT cart_id, amount FROM carts.cart_items")
    stocked.sql.execute("GRANT SELECT ON public.report TO carts_reader")
    program = command_line.of_release(NEXT)
    with program.running("run") as host:
        told = host.says(r"definition_differs.*")[0]
        assert "new column weight, other total item_totals" in told
        assert "projector rebuild start --promote" in told
        late = stocked.add("cart-late", "item 1", 3, weight=2)
        seen = answer(program, "rebuild", "start", "--dry-run")
        assert seen["changes"] == ["new column weight", "other total item_totals"]
        assert (seen["live"], seen["documents"]) == (1, 41)
        rebuilt = program.run("rebuild", "start", "--promote", "--why", "weights")
        assert rebuilt.code == 0, rebuilt.stderr
        assert "its definition differs: new column weight, other total item_totals" in (
            rebuilt.stderr
        )
        assert "generation 2 is live" in rebuilt.stdout

        found = rows_of(stocked, "SELECT * FROM carts.cart_items WHERE cart_id = 'cart-late'")
        assert [(row["id"], row["weight"], row["extra"]) for row in found] == [(late["id"], 2, {})]
        totals = rows_of(stocked, "SELECT item, total_weight FROM carts.item_totals ORDER BY item")
        assert [float(row["total_weight"]) for row in totals] == [42.0, 44.0, 42.0, 42.0, 42.0]
        assert len(rows_of(stocked, "TABLE public.report")) == 41

        live, first = answer(program, "rebuild", "list")["generations"]
        assert (live["state"], live["why"], live["documents"] or 41) == ("live", "weights", 41)
        assert (first["state"], first["differences"]) == ("former", None)
        assert live["differences"]["stale"] == 0
        assert answer(program, "rebuild", "rollback") == {"live": 1, "former": 2}
        assert len(rows_of(stocked, "TABLE public.report")) == 41
        assert host.stop().code == 0


def test_an_interrupted_one_goes_on_and_one_wrong_row_closes_the_gate_and_is_named(
    stocked: Shop, command_line: CommandLine
) -> None:
    with command_line.running("run") as host, command_line.running("rebuild", "start") as begun:
        begun.says("generation 2 is being made beside generation 1")
        interrupted = begun.stop(signal.SIGINT)
        assert interrupted.code == 130
        assert "generation 2 stays" in interrupted.stderr
        assert "to go on here: projector rebuild promote" in interrupted.stderr
        until_equal(lambda: state_of(stocked, 2), "following")
        ((wrong,),) = stocked.sql.execute(
            "UPDATE projector_g2.cart_items SET quantity = 99 WHERE id = (SELECT min(id)"
            " FROM projector_g2.cart_items) RETURNING id"
        ).fetchall()

        refused = command_line.run("rebuild", "promote")
        assert refused.code == DRIFT, refused.stderr
        assert f"stale: document {wrong} in cart" in refused.stdout
        assert "quantity is 99" in refused.stdout
        assert "generation 2 is not promoted: 1 row is not as its document" in refused.stdout
        assert (state_of(stocked, 1), state_of(stocked, 2)) == ("live", "following")

        forced = answer(command_line, "rebuild", "promote", "--force")
        assert (forced["promoted"], forced["found"]["stale"]) == (True, 1)
        assert any(wrong in line for line in forced["differences"])
        ((who, when),) = stocked.sql.execute(
            "SELECT forced, forced_at FROM projector.generations WHERE id = 2"
        ).fetchall()
        assert "@" in who
        assert when is not None
        assert host.stop().code == 0


def test_without_a_host_the_command_does_its_work_and_draws_on_a_terminal(
    stocked: Shop, command_line: CommandLine, tmp_path: Path
) -> None:
    code, written = in_a_terminal(
        [sys.executable, "-m", "projector", "rebuild", "start", "--promote"],
        folder=tmp_path,
        environment={
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "TERM": "xterm",
            **{f"PROJECTOR_{name}": value for name, value in command_line.settings.items()},
        },
    )
    assert code == 0, written
    assert "no host runs: this command does the work of one" in written
    assert "GENERATION 2" in written
    assert "generation 2 is live" in written
