"""Writing alone: our batches beside COPY, list upserts and upserts by hand, batch by batch in turn.

The input of every variant is what a host has at that point: decoded pages for ours and for COPY,
parsed documents for the others. Everything from there to the commit is timed: folding, encoding,
sending, writing, committing. The first batch of each phase is written but not counted, for it pays
for plans and first pages.
"""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.baselines import ByHand, ListUpsert, PlainCopy
from benchmarks.documents import Document, chunks, page_body
from benchmarks.ours import Ours
from benchmarks.timing import Cost, Stopwatch
from projector.projection.carts import CARTS
from projector.projection.project import Projection
from projector.projection.writes import ProjectedPage, RowWrite

project_page = Projection(CARTS).page

PAGE_DOCUMENTS = 1000

Step = Callable[["Load"], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One batch, in the form that each variant starts from."""

    documents: Sequence[Document]
    pages: Sequence[ProjectedPage]

    @property
    def writes(self) -> list[RowWrite]:
        """The decoded rows in feed order."""
        return [write for page in self.pages for write in page.writes]


def loads(documents: Sequence[Document], size: int) -> list[Load]:
    """The documents, in batches of pages that are decoded already."""
    return [
        Load(
            documents=part,
            pages=[project_page(page_body(page)) for page in chunks(part, PAGE_DOCUMENTS)],
        )
        for part in chunks(documents, size)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way of writing a batch; `limit`: only so many documents, for slow ways."""

    name: str
    backend_pid: int
    write: Step
    limit: int | None = None


async def measure(batches: Sequence[Load], variants: Sequence[Variant]) -> dict[str, Cost]:
    """Apply every batch by every variant in turn, the first one changing; the cost of each."""
    watches = {one.name: Stopwatch(backend_pid=one.backend_pid) for one in variants}
    done = dict.fromkeys(watches, 0)
    with without_collector():
        for number, batch in enumerate(batches):
            first = number % len(variants)
            for variant in (*variants[first:], *variants[:first]):
                if variant.limit is not None and done[variant.name] >= variant.limit:
                    continue
                if number == 0:
                    await variant.write(batch)
                    continue
                with watches[variant.name].running(len(batch.documents)):
                    await variant.write(batch)
                done[variant.name] += len(batch.documents)
    return {name: watch.cost for name, watch in watches.items()}


@contextmanager
def without_collector() -> Iterator[None]:
    """Keep the cyclic collector of this process out of the timed parts."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def by_ours(name: str, ours: Ours) -> Variant:
    """The real sink."""

    async def write(load: Load) -> None:
        await ours.apply(load.pages)

    return Variant(name=name, backend_pid=ours.backend_pid, write=write)


def by_copy(copy: PlainCopy) -> Variant:
    """COPY into heap and primary key."""

    async def write(load: Load) -> None:
        copy.apply(load.writes)

    return Variant(name="COPY", backend_pid=copy.backend_pid, write=write)


def by_list(listed: ListUpsert, *, limit: int) -> Variant:
    """SQLAlchemy Core."""

    async def write(load: Load) -> None:
        listed.apply(load.documents)

    return Variant(
        name="SQLAlchemy list upsert", backend_pid=listed.backend_pid, write=write, limit=limit
    )


def by_hand(hand: ByHand, *, commit_every: int, limit: int) -> Variant:
    """One row at a time, with totals."""

    async def write(load: Load) -> None:
        hand.apply(load.documents, commit_every=commit_every)

    name = f"by hand with totals, commit per {commit_every}"
    return Variant(name=name, backend_pid=hand.backend_pid, write=write, limit=limit)
