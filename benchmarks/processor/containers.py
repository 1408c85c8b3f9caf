"""Containers and documents of the figures, made over the wire."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from email.utils import formatdate
from urllib.parse import quote

import aiohttp

from benchmarks.processor.account import DATABASE, Account

AT_ONCE = 32


async def create_containers(account: Account) -> None:
    """The database with `cart` and `lease`."""
    async with aiohttp.ClientSession() as session:
        await _post(session, account, "dbs", "", {"id": DATABASE})
        for name, path in (("cart", "/cartId"), ("lease", "/id")):
            definition = {"id": name, "partitionKey": {"paths": [path], "kind": "Hash"}}
            await _post(session, account, "colls", f"dbs/{DATABASE}", definition)


async def write_carts(account: Account, count: int, *, prefix: str) -> None:
    """That many new documents, spread over all partitions."""
    room = asyncio.Semaphore(AT_ONCE)
    link = f"dbs/{DATABASE}/colls/cart"

    async def write(session: aiohttp.ClientSession, number: int) -> None:
        key = f"{prefix}-{number}"
        document = {"id": key, "cartId": key, "item": "Surface", "quantity": 1}
        async with room:
            await _post(session, account, "docs", link, document, key=key)

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(write(session, number) for number in range(count)))


async def _post(
    session: aiohttp.ClientSession,
    account: Account,
    kind: str,
    link: str,
    body: object,
    *,
    key: str | None = None,
) -> None:
    date = formatdate(usegmt=True)
    headers = {
        "x-ms-date": date,
        "x-ms-version": "2020-07-15",
        "authorization": _signature(account.key, kind, link, date),
    }
    if key is not None:
        headers["x-ms-documentdb-partitionkey"] = json.dumps([key])
    path = f"{link}/{kind}" if link else kind
    url = f"{account.endpoint}{path}"
    async with session.post(url, data=json.dumps(body), headers=headers) as answer:
        answer.raise_for_status()


def _signature(key: str, kind: str, link: str, date: str) -> str:
    text = f"post\n{kind}\n{link}\n{date.lower()}\n\n"
    digest = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
    return quote(f"type=master&ver=1.0&sig={base64.b64encode(digest).decode()}", safe="")
