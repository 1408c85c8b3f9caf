"""Several hosts over one container, shoppers who write all the time, and watchers of the rules.

The watchers are triggers in the database: a row that goes back to an older version, and a place
that is moved by a host that does not own the range, are written down. Both must stay empty,
whatever is done to the hosts.
"""

from __future__ import annotations

import json
import random
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from azure.cosmos.exceptions import CosmosResourceNotFoundError

from tests import wild
from tests.acceptance.shop import DATABASE, Shop
from tests.acceptance.support import CommandLine, Running, until
from tests.fixtures.blocking import blocking_client

CARTS = 60
FIRST_KEY, LAST_KEY = "", "FF"

# Short enough to lose a lease within a test, long enough for a busy machine.
HURRIED = {
    "LEASE_ACQUIRE_SECONDS": "0.5",
    "LEASE_RENEW_SECONDS": "0.8",
    "LEASE_EXPIRATION_SECONDS": "4",
    "POLL_MAX_SECONDS": "0.3",
    "WEB_PORT": "0",
}

WATCHERS = """
CREATE TABLE public.rows_gone_back (cart_id text, id text, version text);
CREATE TABLE public.trespasses (lease_token text, owner text, application text, place text);
CREATE FUNCTION public.watch_rows() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF (NEW.lineage, NEW.lsn) < (OLD.lineage, OLD.lsn) THEN
    INSERT INTO public.rows_gone_back VALUES (NEW.cart_id, NEW.id, (OLD.lsn, NEW.lsn)::text);
  END IF; RETURN NULL; END $$;
CREATE FUNCTION public.watch_places() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF NEW.continuation IS DISTINCT FROM OLD.continuation AND NEW.continuation IS NOT NULL
    AND 'projector ' || NEW.owner IS DISTINCT FROM current_setting('application_name') THEN
    INSERT INTO public.trespasses VALUES (NEW.lease_token, NEW.owner,
      current_setting('application_name'), NEW.continuation);
  END IF; RETURN NULL; END $$;
CREATE TRIGGER watch AFTER UPDATE ON projector_g1.cart_items
  FOR EACH ROW EXECUTE FUNCTION public.watch_rows();
CREATE TRIGGER watch AFTER UPDATE ON projector.ranges
  FOR EACH ROW EXECUTE FUNCTION public.watch_places();
"""

RECOUNT = """
SELECT 'cart', cart_id, line_count, total_quantity FROM carts.cart_totals EXCEPT
SELECT 'cart', cart_id, count(*), sum(quantity) FROM carts.cart_items GROUP BY cart_id
UNION ALL
SELECT 'item', item, line_count, total_quantity FROM carts.item_totals EXCEPT
SELECT 'item', item, count(*), sum(quantity) FROM carts.cart_items GROUP BY item
UNION ALL
SELECT 'cart', cart_id, count(*), sum(quantity) FROM carts.cart_items GROUP BY cart_id EXCEPT
SELECT 'cart', cart_id, line_count, total_quantity FROM carts.cart_totals
"""


@dataclass(kw_only=True)
class Town:
    """The container, its copy, and the hosts between them."""

    shop: Shop
    command_line: CommandLine
    stack: ExitStack
    hurry: Mapping[str, str] = field(default_factory=lambda: HURRIED)
    hosts: dict[str, Running] = field(default_factory=dict)

    def start(self, name: str, **settings: str) -> Running:
        """One more host."""
        chosen = self.command_line.with_settings(**{**self.hurry, **settings}, INSTANCE_NAME=name)
        self.hosts[name] = self.stack.enter_context(chosen.running("run"))
        return self.hosts[name]

    def signal(self, name: str, number: int) -> None:
        """Sends a signal to one host."""
        self.hosts[name].process.send_signal(number)

    def kill(self, name: str) -> None:
        """Ends one host with `kill -9`."""
        self.signal(name, signal.SIGKILL)
        self.hosts.pop(name).process.wait()

    def owners(self) -> dict[str, str | None]:
        """Who owns which lease, by the lease documents."""
        return {lease["LeaseToken"]: lease["Owner"] for lease in self._leases()}

    def uncovered(self, *names: str) -> list[str]:
        """What keeps these hosts from owning every key exactly once; empty when they do."""
        leases = sorted(self._leases(), key=lambda lease: _keys_of(lease)[0])
        found = [
            f"{one['LeaseToken']} has {one['Owner']}" for one in leases if not _is_of(one, names)
        ]
        reached = FIRST_KEY
        for lease in leases:
            first, after = _keys_of(lease)
            if first != reached:
                found.append(f"hole or overlap at {reached!r}, {first!r}")
            reached = after
        return found if reached == LAST_KEY else [*found, f"nobody after {reached!r}"]

    def until_covered(self, *names: str, seconds: float = 180.0) -> float:
        """Waits until these hosts own every key; tells how long that took."""
        began = time.monotonic()
        until(lambda: self.uncovered(*names), lambda found: not found, seconds=seconds)
        return time.monotonic() - began

    def control(self, action: str, body: object) -> Any:
        """Splits or merges partitions of the cart container."""
        return self._ask(f"dbs/{DATABASE}/colls/cart/{action}", "POST", body)

    def fault(self, body: object) -> None:
        """Installs a fault of the service."""
        self._ask("faults", "POST", body)

    def heal(self) -> None:
        """Removes all faults."""
        self._ask("faults", "DELETE", {})

    def _ask(self, path: str, method: str, body: object) -> Any:
        request = urllib.request.Request(  # noqa: S310 - the emulator's own address
            f"{self.shop.emulator.endpoint}_emulator/{path}",
            data=json.dumps(body).encode(),
            method=method,
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - the same
            return json.loads(answer.read())

    def differences(self) -> list[str]:
        """How SQL differs from the container and from a recount."""
        documents = {
            (one["cartId"], one["id"]): (one["item"], one["quantity"])
            for one in self.shop.query("SELECT * FROM c")
            if "ttl" not in one
        }
        rows = {row[:2]: (row[2], int(row[3])) for row in self.shop.lines()}
        wrong = [f"{key} only in the container" for key in documents.keys() - rows.keys()]
        wrong += [f"{key} only in SQL" for key in rows.keys() - documents.keys()]
        both = documents.keys() & rows.keys()
        wrong += [f"{k}: {rows[k]}, not {documents[k]}" for k in both if rows[k] != documents[k]]
        return wrong + [f"total {row}" for row in self.shop.rows(RECOUNT)]

    def broken_rules(self) -> list[Any]:
        """What the watchers saw; nothing, if all is well."""
        return self.shop.rows("SELECT * FROM public.rows_gone_back") + self.shop.rows(
            "SELECT * FROM public.trespasses"
        )

    def _leases(self) -> list[dict[str, Any]]:
        try:
            return self.shop.lease_documents()
        except CosmosResourceNotFoundError:  # nobody has made the container again yet
            return []


@dataclass(kw_only=True)
class Shoppers:
    """Writes without a pause, with the real SDK, in a thread of its own."""

    endpoint: str
    key: str
    chance: random.Random
    delete_outright: bool = True
    written: int = 0
    _lines: list[dict[str, Any]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _failure: BaseException | None = None

    @contextmanager
    def shopping(self) -> Iterator[Shoppers]:
        """They shop until the block ends; their own failure is the block's."""
        thread = threading.Thread(target=self._run, name="shoppers")
        thread.start()
        try:
            yield self
        finally:
            self.stop()
            thread.join()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """They go home."""
        self._stop.set()

    def _run(self) -> None:
        try:
            with blocking_client(self.endpoint, self.key) as client:
                carts = client.get_database_client(DATABASE).get_container_client("cart")
                while not self._stop.is_set():
                    self._shop(carts)
                    self.written += 1
        except BaseException as error:  # noqa: BLE001 - raised again by the block
            self._failure = error

    def _shop(self, carts: Any) -> None:
        draw = self.chance.random()
        if draw < 0.5 or not self._lines:
            line = {
                "id": f"{self.written}%2F\N{SNOWMAN}",  # the SDK writes none that is odder
                "cartId": wild.IDS[self.chance.randrange(CARTS)],
                "item": self.chance.choice(["pro", "book", "mouse"]),
                "quantity": self.chance.randint(1, 9),
            }
            carts.create_item(line)
            self._lines.append(line)
            return
        line = self._lines[self.chance.randrange(len(self._lines))]
        if draw < 0.85:
            carts.replace_item(line["id"], {**line, "quantity": self.chance.randint(1, 9)})
            return
        self._lines.remove(line)
        if draw < 0.92 or not self.delete_outright:
            carts.replace_item(line["id"], {**line, "ttl": 3600})
        else:
            carts.delete_item(line["id"], line["cartId"])


def _keys_of(lease: dict[str, Any]) -> tuple[str, str]:
    keys = lease["FeedRange"]["Range"]
    return keys["min"], keys["max"]


def _is_of(lease: dict[str, Any], names: tuple[str, ...]) -> bool:
    return lease["Owner"] in names
