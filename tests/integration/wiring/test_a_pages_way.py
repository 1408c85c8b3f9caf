"""The way of a page, as docs/explanation/a-pages-way.md names it, against one that is really gone."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import projector
from projector.wiring.service import Service
from tests.integration.wiring.support import Shop
from tests.integration.wiring.test_service import until

PRODUCT = Path(projector.__file__).parent
PAGE = PRODUCT.parent / "docs/explanation/a-pages-way.md"
ROW = re.compile(r"\| `(projector/[\w/]+\.py)` \| `([\w.]+)` \|")
ROLES = ("reader", "applier", "checkpointer")
MOST_FUNCTIONS, MOST_FILES = 25, 12

Step = tuple[str, str]

QUIET = {("projector/postgres/sink.py", "move_position")}
"""A range beside it that has nothing to read may move its position meanwhile."""


def documented() -> list[Step]:
    return ROW.findall(PAGE.read_text())


@contextmanager
def watched(steps: set[Step]) -> Iterator[list[frozenset[Step]]]:
    """The functions of ours that are under way whenever one of these steps begins."""
    found: list[frozenset[Step]] = []

    def under_way(frame: FrameType | None) -> Iterator[Step]:
        while frame is not None:
            if frame.f_code.co_filename.startswith(str(PRODUCT)):
                path = Path(frame.f_code.co_filename).relative_to(PRODUCT.parent)
                yield str(path), frame.f_code.co_qualname.replace(".<locals>", "")
            frame = frame.f_back

    def look(frame: FrameType, event: str, _argument: Any) -> None:
        if event != "call" or not frame.f_code.co_filename.startswith(str(PRODUCT)):
            return
        stack = list(under_way(frame))
        if stack[0] in steps and role() in ROLES:
            found.append(frozenset(stack))

    sys.setprofile(look)
    try:
        yield found
    finally:
        sys.setprofile(None)


def role() -> str:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return ""
    return "" if task is None else task.get_name().rsplit(":", 1)[-1]


def test_the_way_is_as_short_as_it_is_said_to_be() -> None:
    steps = documented()
    assert len(steps) == len(set(steps)) <= MOST_FUNCTIONS
    assert len({path for path, _ in steps}) <= MOST_FILES


@pytest.mark.postgres
async def test_a_page_goes_the_way_that_is_written_down(shop: Shop) -> None:
    shop.open(5)
    service = Service(shop.settings())
    running = asyncio.create_task(service.run())
    await until(lambda: service.tally.delivered == 5 or running.done())
    way = set(documented())
    with watched(way) as found:
        shop.put(9)
        with suppress(TimeoutError):
            await until(lambda: way <= frozenset().union(*found))
    service.request_stop()
    await running
    gone = frozenset().union(*found)
    assert gone - QUIET == way
