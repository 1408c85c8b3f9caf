"""Sessions and sinks on a database of the test's own."""

from __future__ import annotations

import decimal
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

from projector.ports.feed import Grant
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.sink import PostgresSink
from tests.integration.postgres.carts import begun


@pytest.fixture(autouse=True)
def exact_decimals() -> Iterator[None]:
    """Sums of the model have as many digits as those of PostgreSQL."""
    with decimal.localcontext() as context:
        context.prec = 60
        yield


@pytest.fixture
async def connections(database_url: str) -> AsyncIterator[Connections]:
    """Sessions with short timeouts on a migrated database."""
    options = ConnectionOptions(url=database_url, connections=6, lease_expiration_seconds=20)
    async with Connections(options) as opened:
        yield opened


@pytest.fixture(params=[None, False], ids=["server-way", "previous-image"])
def returning_old(request: pytest.FixtureRequest) -> bool | None:
    """Both ways of telling old images: what the server can, and the spare columns."""
    forced: bool | None = request.param
    return forced


@pytest.fixture
def sink(connections: Connections) -> PostgresSink:
    """An empty target."""
    return PostgresSink(connections)


@pytest.fixture
async def grant(sink: PostgresSink) -> Grant:
    """The only range, which reads from the beginning."""
    return await begun(sink)


@pytest.fixture
def sql(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as session:
        yield session
