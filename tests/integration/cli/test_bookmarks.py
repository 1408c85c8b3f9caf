"""`leases snapshot`, `snapshots`, `restore` and `reset --to` as they are typed."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cosmos_emulator import Emulator, Engine
from projector.cli.app import run_line
from projector.settings import load_settings
from projector.wiring.service import Service

pytestmark = pytest.mark.postgres

Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def account() -> Iterator[Emulator]:
    """Twenty carts."""
    engine = Engine(now=time.time, partitions=4)
    engine.create_database("acme-webstore")
    carts = engine.create_container(
        "acme-webstore",
        {"id": "cart", "partitionKey": {"paths": ["/cartId"], "kind": "Hash"}, "defaultTtl": -1},
    )
    for number in range(20):
        carts.upsert({"id": "1", "cartId": f"c{number}", "item": "x", "quantity": 1})
    with Emulator(engine=engine) as server:
        yield server


@pytest.fixture
def typed(
    account: Emulator,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Typed:
    """Runs a command line over twenty carts that are copied: exit code, output, errors."""
    values = {
        "COSMOS_ENDPOINT": account.endpoint,
        "COSMOS_KEY": account.key,
        "DATABASE_URL": database_url,
        "WEB_PORT": "0",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"PROJECTOR_{name}", value)
    monkeypatch.chdir(tmp_path)
    asyncio.run(Service(load_settings()).run(until_caught_up=True))

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run_line(["leases", *words])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def answered(told: tuple[int, str, str]) -> Any:
    assert told[0] == 0, told
    return json.loads(told[1])


def test_saved_listed_put_back_and_removed(typed: Typed, tmp_path: Path) -> None:
    assert typed("snapshots")[1].startswith("PostgreSQL keeps no snapshots")
    taken = answered(typed("snapshot", "before", "--out", "before.json", "--json"))
    assert (taken["name"], taken["file"], len(taken["ranges"])) == ("before", "before.json", 4)
    assert json.loads((tmp_path / "before.json").read_text())["format"] == "projector-bookmarks"
    (listed,) = answered(typed("snapshots", "--json"))["snapshots"]
    assert (listed["name"], listed["ranges"]) == ("before", 4)

    plan = answered(typed("restore", "before", "--dry-run", "--json"))
    assert (plan["lease_tokens"], plan["leases_written"]) == (["0", "1", "2", "3"], None)
    assert all(one["from_lsn"] == one["to_lsn"] for one in plan["ranges"])
    code, _, errors = typed("restore", "before")
    assert (code, "without a terminal say --yes" in errors) == (2, True)
    assert typed("restore", "before", "--range", "2", "--yes")[1] == (
        "went back: 1 range; written: 1 lease\n"
    )
    assert answered(typed("restore", "before.json", "--yes", "--json"))["leases_written"] == 4

    assert answered(typed("snapshots", "--remove", "before", "--json")) == {"removed": ["before"]}
    code, _, errors = typed("restore", "before", "--yes")
    assert (code, "keeps no snapshot 'before', it keeps: none" in errors) == (1, True)
    assert typed("snapshots", "--remove", "before")[0] == 1


def test_nothing_is_written_over_unless_told(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "kept.json").write_text("mine")
    code, _, errors = typed("snapshot", "--out", "kept.json")
    assert (code, "--replace" in errors) == (2, True)
    assert (tmp_path / "kept.json").read_text() == "mine"
    code, _, errors = typed("restore", "kept.json", "--yes")
    assert (code, "kept.json holds no saved bookmarks" in errors) == (1, True)
    assert typed("snapshot", "--out", "kept.json", "--replace")[0] == 0
    assert typed("snapshot", "one")[0] == 0
    code, _, errors = typed("snapshot", "one")
    assert (code, "there is a snapshot 'one' already" in errors) == (2, True)
    assert typed("snapshot", "one", "--replace")[0] == 0
    assert [path.name for path in tmp_path.glob("kept*")] == ["kept.json"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("snapshot",), "leases snapshot NAME, or --out FILE, or both"),
        (("snapshot", "a/b"), "is no name for a snapshot"),
        (("snapshot", "a.json"), "is no name for a snapshot"),
        (("reset", "--to", "now"), "--to takes a time"),
        (("reset", "--to", "yesterday"), "--to takes a time with its zone such as"),
        (("reset", "--to", "2026-01-31"), "--to takes a time with its zone such as"),
        (("reset", "--to", "2999-01-31T00:00:00Z"), "has not come yet"),
        (("reset", "--to", "2026-01-31T00:00:00Z", "--accept-new-source"), "leave out --to"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, tuple) else "",
)
def test_what_cannot_be_meant_is_wrong_usage(
    words: tuple[str, ...],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PROJECTOR_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    assert run_line(["leases", *words]) == 2
    assert says in capsys.readouterr().err


def test_a_reset_to_a_time_says_how_far_it_goes(typed: Typed) -> None:
    hour_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    plan = answered(typed("reset", "--to", hour_ago, "--dry-run", "--json"))
    assert {one["to_lsn"] for one in plan["ranges"]} == {0}
    assert typed("reset", "--to", hour_ago, "--range", "1", "--yes")[1] == (
        "went back: 1 range; written: 1 lease\n"
    )
