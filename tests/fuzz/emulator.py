"""Requests that nobody would send: sound ones of several SDKs, damaged; and queries, likewise.

`python -m tests.fuzz.emulator --inputs 200000`. Whatever comes, the emulator answers with a status of
the protocol, in time: never an exception, never a 500.
"""

from __future__ import annotations

import json
import random
import time
from typing import NamedTuple

from multidict import CIMultiDict

from cosmos_emulator.account import Account
from cosmos_emulator.engine import Engine
from cosmos_emulator.operations import operation_of
from cosmos_emulator.routes import answer
from cosmos_emulator.wire import Call
from tests.fuzz.inputs import damaged, main

ANSWERED_SECONDS = 20.0
"""Far beyond what a noisy machine takes for the few documents here: beyond it something runs away."""
NOT_IMPLEMENTED = 501
DOCS = "dbs/shop/colls/cart/docs"
KEY = {"x-ms-documentdb-partitionkey": '["a"]'}
QUERY = {
    "x-ms-documentdb-isquery": "True",
    "Content-Type": "application/query+json",
    "x-ms-documentdb-query-enablecrosspartition": "True",
}
BATCH = {"x-ms-cosmos-is-batch-request": "True"}
PLAN = {
    "x-ms-cosmos-is-query-plan-request": "True",
    "x-ms-cosmos-supported-query-features": "Aggregate, GroupBy, NonValueAggregate, Top, OrderBy, Distinct, OffsetAndLimit",
}
FEED = {"A-IM": "Incremental feed", "x-ms-documentdb-partitionkeyrangeid": "0"}
QUERIES = [
    "SELECT * FROM c WHERE c.id = @a",
    "SELECT c.id, COUNT(1) AS n FROM c JOIN l IN c.l WHERE c.t LIKE '%x%_[a-z]' GROUP BY c.id",
    'SELECT TOP 3 VALUE {"a": UPPER(c.id), b: ARRAY(SELECT VALUE x FROM x IN c.l)} FROM c ORDER BY c.n DESC',
    "SELECT DISTINCT VALUE c.n ?? -1.5e3 FROM c WHERE NOT IS_NULL(c.l[2].a) OFFSET 1 LIMIT 2",
    "SELECT VALUE SUM(c.n) FROM c WHERE c.n BETWEEN 1 AND 9 AND c.id IN ('1', '2') OR EXISTS(SELECT 1)",
]


class Sound(NamedTuple):
    """A request as an SDK sends it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""


REQUESTS = [
    Sound("GET", "", {}),
    Sound("GET", "dbs", {}),
    Sound("GET", "dbs/shop/colls/cart", {"x-ms-documentdb-populatequotainfo": "True"}),
    Sound("GET", "dbs/shop/colls/cart/pkranges", {"If-None-Match": '"x.1"'}),
    Sound("GET", "offers", {}),
    Sound("POST", "dbs", {"x-ms-offer-throughput": "400"}, b'{"id":"other"}'),
    Sound(
        "POST",
        "dbs/shop/colls",
        {"x-ms-cosmos-offer-autopilot-settings": '{"maxThroughput":4000}'},
        b'{"id":"c","partitionKey":{"paths":["/a","/\\"b c\\""],"kind":"MultiHash","version":2},"defaultTtl":-1}',
    ),
    Sound(
        "PUT",
        "dbs/shop/colls/cart",
        {},
        b'{"id":"cart","partitionKey":{"paths":["/cartId"],"version":2},"defaultTtl":30,"indexingPolicy":{}}',
    ),
    Sound("POST", DOCS, {}, b'{"id":"q","cartId":"a","ttl":30}'),
    Sound("POST", DOCS, {"x-ms-documentdb-is-upsert": "True", **KEY}, b'{"id":"1","cartId":"a"}'),
    Sound("PUT", f"{DOCS}/1", {**KEY, "If-Match": "*"}, b'{"id":"2","cartId":"a"}'),
    Sound(
        "PATCH",
        f"{DOCS}/1",
        KEY,
        b'{"operations":[{"op":"add","path":"/x","value":1},{"op":"incr","path":"/n","value":1.5},'
        b'{"op":"move","from":"/x","path":"/l/0"}],"condition":"from c where c.n > 1"}',
    ),
    Sound("GET", f"{DOCS}/1", {**KEY, "If-None-Match": "x", "x-ms-session-token": "0:-1#5"}),
    Sound("DELETE", f"{DOCS}/3", KEY),
    Sound("GET", DOCS, {**FEED, "x-ms-max-item-count": "5", "If-None-Match": '"3"'}),
    Sound(
        "GET",
        DOCS,
        {
            **FEED,
            "If-Modified-Since": "Tue, 14 Nov 2023 22:13:20 GMT",
            "x-ms-start-epk": "00",
            "x-ms-end-epk": "FF",
            "x-ms-cosmos-changefeed-wire-format-version": "2021-09-15",
        },
    ),
    Sound("GET", DOCS, {"x-ms-max-item-count": "5", "x-ms-continuation": "MTo1"}),
    Sound(
        "POST",
        DOCS,
        {**KEY, **BATCH},
        b'[{"operationType":"Upsert","resourceBody":{"id":"b1","cartId":"a"}},'
        b'{"operationType":"Read","id":"1"},{"operationType":"Delete","id":"5","ifMatch":"*"}]',
    ),
    Sound(
        "POST",
        DOCS,
        {**BATCH, "x-ms-cosmos-batch-atomic": "False", "x-ms-documentdb-partitionkeyrangeid": "1"},
        b'[{"operationType":"Upsert","partitionKey":"[\\"a\\"]","resourceBody":{"id":"b","cartId":"a"}}]',
    ),
    *(
        Sound("POST", DOCS, {**PLAN, **QUERY}, json.dumps({"query": text}).encode())
        for text in QUERIES
    ),
    Sound("POST", f"{DOCS[:-5]}/operations/partitionkeydelete", KEY),
    *(
        Sound("POST", DOCS, QUERY, json.dumps({"query": text, "parameters": []}).encode())
        for text in QUERIES
    ),
]


def world() -> Account:
    """A small account."""
    engine = Engine(now=lambda: 1_700_000_000.0, rng=random.Random(1), partitions=2)
    engine.create_database("shop")
    definition = {"id": "cart", "partitionKey": {"paths": ["/cartId"]}, "defaultTtl": -1}
    container = engine.create_container("shop", definition)
    for number in range(12):
        body = {"id": str(number), "cartId": "ab"[number % 2], "n": number, "t": "x" * number}
        container.create({**body, "l": [1, "é", {"a": number}]})
    return Account(engine=engine)


def check(rng: random.Random) -> None:
    """Check one request."""
    sound = rng.choice(REQUESTS)
    method, path, headers, body = sound.method, sound.path, dict(sound.headers), sound.body
    kind = rng.random()
    if kind < 0.5 and body:
        body = _damaged_query(rng, body) if headers.get("Content-Type") else damaged(rng, body)
    elif kind < 0.85 and headers:
        name = rng.choice(list(headers))
        headers[name] = _line(damaged(rng, headers[name].encode()))
    elif kind < 0.92:
        path = _line(damaged(rng, path.encode()))
    else:
        other = rng.choice(REQUESTS)
        headers.update(other.headers)
        body = rng.choice([body, other.body])
        method = rng.choice([method, other.method])
    call = Call(
        method=method,
        path=f"/{path}",
        headers=CIMultiDict(headers),
        body=body,
        base_url="http://127.0.0.1",
    )
    began = time.perf_counter()
    given = answer(world(), operation_of(call), call)
    assert time.perf_counter() - began < ANSWERED_SECONDS, f"too long: {call}"
    assert given.status < 500 or given.status == NOT_IMPLEMENTED, call


def _damaged_query(rng: random.Random, body: bytes) -> bytes:
    """Mostly the query's text, since a body that is no JSON is refused before anyone reads it."""
    if rng.random() < 0.2:
        return damaged(rng, body)
    spec = json.loads(body)
    spec["query"] = damaged(rng, spec["query"].encode()).decode("utf-8", "replace")
    return json.dumps(spec).encode()


def _line(raw: bytes) -> str:
    """As a header's or a path's text: HTTP carries no line ends in them."""
    return raw.decode("utf-8", "replace").replace("\n", "").replace("\r", "")


if __name__ == "__main__":
    main(check, "Fuzz the emulator with damaged requests and queries.")
