"""Bad input and trouble, one test each: what the user sees, and that nothing is lost."""

from __future__ import annotations

import json
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.acceptance.proxy import Proxy, proxy_to
from tests.acceptance.shop import DATABASE, Shop
from tests.acceptance.support import CommandLine, until, until_equal
from tests.fixtures.postgres import new_database

TWO_MEGABYTES = 2 * 1024 * 1024


@pytest.fixture
def open_shop(shop: Shop) -> Shop:
    """The shop with its database and containers."""
    shop.create_database()
    return shop


def store_raw(shop: Shop, body: bytes) -> None:
    request = urllib.request.Request(  # noqa: S310 - the emulator's own address
        f"{shop.emulator.endpoint}_emulator/dbs/{DATABASE}/colls/cart/raw", data=body, method="POST"
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - the same
        assert answer.status in {200, 201}


@pytest.mark.parametrize("command", ["run", "status"])
def test_without_an_endpoint_one_line_names_the_setting(tmp_path: Path, command: str) -> None:
    finished = CommandLine(folder=tmp_path, settings={}).run(command)
    assert finished.code == 2
    assert "PROJECTOR_COSMOS_ENDPOINT" in finished.error_line
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_setting_is_named_with_its_neighbour(tmp_path: Path) -> None:
    finished = CommandLine(folder=tmp_path, settings={"COSMOS_ENDPONT": "http://x"}).run("run")
    assert finished.code == 2
    assert "PROJECTOR_COSMOS_ENDPOINT" in finished.error_line


def test_the_emulator_names_a_port_in_use(tmp_path: Path) -> None:
    with taken_port() as port:
        finished = CommandLine(folder=tmp_path).run("emulator", "--port", str(port))
    assert finished.code == 1
    assert str(port) in finished.error_line


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@contextmanager
def cuttable(database_url: str) -> Iterator[tuple[Proxy, str]]:
    parts = urlsplit(database_url)
    assert parts.hostname is not None
    with proxy_to(parts.hostname, parts.port or 5432) as proxy:
        yield (
            proxy,
            parts._replace(
                netloc=f"{parts.username}:{parts.password}@127.0.0.1:{proxy.port}"
            ).geturl(),
        )


def test_postgresql_down_at_start_is_waited_for(
    open_shop: Shop, command_line: CommandLine, database_url: str
) -> None:
    open_shop.add("123", "Surface Pro", 2)
    with (
        cuttable(database_url) as (proxy, url),
        command_line.with_settings(DATABASE_URL=url).running("run") as host,
    ):
        host.says("target_unavailable")
        proxy.up()
        until_equal(open_shop.totals, (1, Decimal(2)))
        assert host.stop().code == 0


def test_postgresql_down_in_the_middle_loses_nothing(
    open_shop: Shop, command_line: CommandLine, database_url: str
) -> None:
    with cuttable(database_url) as (proxy, url):
        proxy.up()
        with command_line.with_settings(DATABASE_URL=url).running("run") as host:
            open_shop.add("123", "Surface Pro", 2)
            until_equal(open_shop.totals, (1, Decimal(2)))
            proxy.down()
            for quantity in range(1, 11):
                open_shop.add("123", "Surface Book", quantity)
            host.says("waiting_for_target")
            proxy.up()
            until_equal(open_shop.totals, (11, Decimal(57)))
            finished = host.stop()
    assert finished.code == 0
    assert open_shop.rows("SELECT count(*) FROM projector.quarantine") == [(0,)]


def test_a_stop_during_an_outage_does_not_wait_for_its_end(
    open_shop: Shop, command_line: CommandLine, database_url: str
) -> None:
    with cuttable(database_url) as (proxy, url):
        proxy.up()
        with command_line.with_settings(DATABASE_URL=url).running("run") as host:
            until_equal(open_shop.bookmarked, expected=True)
            proxy.down()
            open_shop.add("123", "Surface Pro", 2)
            host.says("waiting_for_target")
            assert host.stop().code == 0
    assert open_shop.totals() is None
    assert command_line.run("run", "--until-caught-up").summary["upserted"] == 1
    assert open_shop.totals() == (1, Decimal(2))


BAD = {
    "no-cart": (b'{"id": "no-cart", "item": "x", "quantity": 1}', "bad_cart_id"),
    "text": (b'{"id": "text", "cartId": "c", "item": "x", "quantity": "2"}', "bad_quantity"),
    "nan": (b'{"id": "nan", "cartId": "c", "item": "x", "quantity": NaN}', "undecodable"),
    "huge": (b'{"id": "huge", "cartId": "c", "item": "x", "quantity": 1e400}', "bad_quantity"),
    "nul": (b'{"id": "nul", "cartId": "c", "item": "x\\u0000y", "quantity": 1}', "bad_text"),
}


def test_bad_documents_cost_themselves_only(open_shop: Shop, command_line: CommandLine) -> None:
    open_shop.add("123", "Surface Pro", 2)
    for body, _ in BAD.values():
        store_raw(open_shop, body)
    open_shop.add("123", "Surface Book", 8)
    finished = command_line.run("run", "--until-caught-up")
    assert finished.code == 0, finished.stderr
    assert finished.summary["rejected"] == len(BAD)
    assert open_shop.totals() == (2, Decimal(10))
    assert open_shop.totals("c") is None
    entries = json.loads(command_line.run("quarantine", "list", "--json").stdout)["entries"]
    assert {entry["document_id"]: entry["reason"] for entry in entries} == {
        name: reason for name, (_, reason) in BAD.items()
    }
    shown = command_line.run("quarantine", "show", str(entries[0]["id"]), "--json")
    assert json.loads(shown.stdout)["raw"].startswith('{"id"')


def test_a_document_of_two_megabytes_is_projected_whole(
    open_shop: Shop, command_line: CommandLine
) -> None:
    note = "x" * (TWO_MEGABYTES - 1000)
    open_shop.add("123", "Surface Pro", 2, note=note)
    assert command_line.run("run", "--until-caught-up").code == 0
    assert open_shop.rows("SELECT length(extra ->> 'note') FROM carts.cart_items") == [(len(note),)]


def test_a_recreated_source_is_not_followed_until_told(
    open_shop: Shop, command_line: CommandLine
) -> None:
    open_shop.add("123", "Surface Pro", 2)
    assert command_line.run("run", "--until-caught-up").code == 0
    open_shop.client.delete_database(DATABASE)
    open_shop.create_database()
    open_shop.add("456", "Surface Book", 8)

    finished = command_line.run("run", "--until-caught-up")
    assert finished.code == 1
    assert "source recreated" in finished.error_line
    assert "projector leases reset --accept-new-source" in finished.error_line
    assert open_shop.totals("123") == (1, Decimal(2))
    assert open_shop.totals("456") is None

    accepted = command_line.run("leases", "reset", "--accept-new-source", "--yes")
    assert accepted.code == 0, accepted.stderr
    assert command_line.run("run", "--until-caught-up").code == 0
    assert open_shop.totals("456") == (1, Decimal(8))


def test_an_empty_target_is_filled_again_and_that_is_said(
    open_shop: Shop, command_line: CommandLine, postgres_server_url: str, migrated_template: str
) -> None:
    open_shop.add("123", "Surface Pro", 2)
    assert command_line.run("run", "--until-caught-up").code == 0
    with new_database(postgres_server_url, template=migrated_template) as empty:
        finished = command_line.with_settings(DATABASE_URL=empty).run("run", "--until-caught-up")
        assert finished.code == 0, finished.stderr
        assert finished.summary["upserted"] == 1
        assert "range_started_over" in finished.stderr
        assert "no_stored_position" in finished.stderr


def status_of(command_line: CommandLine) -> dict[str, Any]:
    finished = command_line.run("status", "--json")
    assert finished.code == 0, finished.stderr
    document: dict[str, Any] = json.loads(finished.stdout)
    return document


def test_status_tells_every_range_beside_a_running_host(
    open_shop: Shop, command_line: CommandLine
) -> None:
    open_shop.add("123", "Surface Pro", 2)
    with command_line.running("run") as host:
        until_equal(open_shop.totals, (1, Decimal(2)))
        document = until(
            lambda: status_of(command_line),
            lambda found: (
                [r["state"] for r in found["ranges"]] == ["reading"] * 4
                and all(r["gap_changes"] == 0 for r in found["ranges"])
            ),
        )
        until(lambda: command_line.run("health"), lambda told: told.code == 0)
        assert host.stop().code == 0
    left = command_line.run("health")
    assert (left.code, "no host reads it" in left.stdout) == (1, True)
    assert document["quarantined"] == 0
    for told in document["ranges"]:
        assert told["lag_seconds"] == 0
        assert told["position"]["continuation"]
        assert told["owner"]


def test_status_tells_what_it_knows_while_postgresql_is_down(
    open_shop: Shop, command_line: CommandLine, database_url: str
) -> None:
    open_shop.add("123", "Surface Pro", 2)
    assert command_line.run("run", "--until-caught-up").code == 0
    with cuttable(database_url) as (_, url):
        cut_off = command_line.with_settings(DATABASE_URL=url)
        # Each waits some seconds for an answer: at the same time.
        looks = [
            cut_off.start(*words.split()) for words in ("status --json", "status", "health --json")
        ]
        told, finished, health = [look.finish() for look in looks]
    assert (told.code, health.code) == (0, 1), told.stderr
    document = json.loads(told.stdout)
    assert json.loads(health.stdout)["health"] == "unknown"
    assert document["quarantined"] is None
    assert [told["state"] for told in document["ranges"]] == ["stopped"] * 4
    assert all(told["position"]["continuation"] for told in document["ranges"])
    assert "not everything is known: PostgreSQL" in finished.stderr


def test_a_reset_needs_a_yes_without_a_terminal(open_shop: Shop, command_line: CommandLine) -> None:
    open_shop.add("123", "Surface Pro", 2)
    assert command_line.run("run", "--until-caught-up").code == 0
    refused = command_line.run("leases", "reset")
    assert refused.code == 2
    assert "--yes" in refused.error_line
    assert command_line.run("leases", "reset", "--dry-run").code == 0
    assert command_line.run("run", "--until-caught-up").summary["delivered"] == 0
    assert command_line.run("leases", "reset", "--yes").code == 0
    assert command_line.run("run", "--until-caught-up").summary["delivered"] == 1


def test_a_reset_beside_a_running_host_is_not_undone(
    open_shop: Shop, command_line: CommandLine
) -> None:
    open_shop.add("123", "Surface Pro", 2)

    def replays_done() -> int:
        return int(
            open_shop.rows("SELECT count(*) FROM projector.replays WHERE phase = 'done'")[0][0]
        )

    with command_line.with_settings(LEASE_ACQUIRE_SECONDS="1").running("run") as host:
        until_equal(replays_done, 4)
        assert command_line.run("leases", "reset", "--yes").code == 0
        until_equal(replays_done, 8, seconds=180)
        assert host.stop().summary["delivered"] == 2
    assert open_shop.totals() == (1, Decimal(2))
