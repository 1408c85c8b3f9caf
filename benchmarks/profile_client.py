"""The client's steps of one document: reading, decoding, folding, encoding, and the lease's bookmark."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from pydantic import SecretStr

from benchmarks.account import emulator
from benchmarks.documents import Document, Feed, Shop, chunks, page_body
from benchmarks.target import WrongResult
from benchmarks.timing import median
from projector.core.lease import Lease
from projector.core.names import Continuation, LeaseToken
from projector.core.ranges import FULL_RANGE
from projector.ports.feed import FeedTarget
from projector.postgres.columns import columns_of, version_columns
from projector.postgres.copying import copy_text
from projector.processor.clock import SystemClock
from projector.projection.carts import CARTS
from projector.projection.project import Projection, fold
from projector.projection.shapes import PageShapes
from projector.projection.writes import ProjectedPage
from projector.settings import Settings
from projector.wiring.opening import Account, account

project_page = Projection(CARTS).page

PAGE = 1000
CONTAINER = "profiled"
REPETITIONS = 5
BOOKMARKS = 200
Step = tuple[str, float]


async def client_steps(documents: int, batch: int) -> Sequence[Step]:
    """Microseconds of CPU per document, step by step."""
    lines = Shop(3).carts(documents)
    with emulator() as service:
        service.create(CONTAINER, lines)
        settings = Settings(
            cosmos_endpoint=service.endpoint,
            cosmos_key=SecretStr(service.key),
            cosmos_container=CONTAINER,
        )
        async with account(settings, clock=SystemClock()) as opened:
            read = await _reading(opened, documents)
            bookmark = await _bookmarking(opened)
    return [
        ("read pages over HTTP", read),
        *_computing(lines, batch),
        ("bookmark in the lease, one per batch", bookmark / batch),
    ]


async def _reading(opened: Account, documents: int) -> float:
    """CPU of reading everything, bodies untouched."""
    found = []
    for _ in range(REPETITIONS):
        began, count = time.thread_time(), 0
        for physical in await opened.source.physical_ranges():
            target = FeedTarget(
                lease_token=LeaseToken(physical.id),
                feed_range=physical.feed_range,
                range_id=physical.id,
            )
            count += await _read_all(opened, target)
        found.append(time.thread_time() - began)
        if count != documents:
            raise WrongResult(f"read {count:,} documents instead of {documents:,}")
    return min(found) / documents * 1e6


async def _read_all(opened: Account, target: FeedTarget) -> int:
    count, place = 0, None
    while True:
        page = await opened.source.read_page(target, place, max_documents=PAGE)
        if page.body is None:
            return count
        count, place = count + (page.document_count or 0), page.continuation


async def _bookmarking(opened: Account) -> float:
    """CPU of one write of a lease, in microseconds."""
    lease = Lease(id="", token=LeaseToken("0"), feed_range=FULL_RANGE)
    if not await opened.leases.create(lease):
        raise WrongResult("the lease of the profile is there already")
    lease, found = await opened.leases.read(lease.token), []
    for number in range(BOOKMARKS):
        began = time.thread_time()
        lease = await opened.leases.replace(
            replace(lease, continuation=Continuation(f'"{number}"'))
        )
        found.append(time.thread_time() - began)
    return median(found) * 1e6


def _computing(lines: Sequence[Document], batch: int) -> list[Step]:
    bodies = [page_body(page) for page in chunks(Feed().stamp(lines), PAGE)]
    shapes = PageShapes(CARTS)
    shapes.learn(bodies[0])
    pages = [project_page(body) for body in bodies]
    batches = [_batch(pages, start, batch) for start in range(0, len(pages), batch // PAGE)]
    folded = [fold(one).writes for one in batches]
    count = len(lines)
    decode = _cpu_micros(lambda: [shapes.decode(body) for body in bodies], count)
    project = _cpu_micros(lambda: [project_page(body) for body in bodies], count)
    return [
        ("decode the JSON", decode),
        ("judge it and make rows", project - decode),
        (
            "fold pages to one sorted batch",
            _cpu_micros(lambda: [fold(one) for one in batches], count),
        ),
        (
            "encode: rows for COPY (new)",
            _cpu_micros(
                lambda: [copy_text(one, CARTS, lineage=0, tick=1) for one in folded], count
            ),
        ),
        (
            "encode: columns (changed)",
            _cpu_micros(lambda: [columns_of(one, CARTS) for one in folded], count),
        ),
        (
            "encode: keys and versions (unchanged)",
            _cpu_micros(lambda: [version_columns(one) for one in folded], count),
        ),
    ]


def _batch(pages: Sequence[ProjectedPage], start: int, batch: int) -> Sequence[ProjectedPage]:
    return pages[start : start + batch // PAGE]


def _cpu_micros(step: Callable[[], object], documents: int) -> float:
    found = []
    for _ in range(REPETITIONS):
        began = time.thread_time()
        step()
        found.append(time.thread_time() - began)
    return min(found) / documents * 1e6
