"""Where paged reads stand: the rows still to come of a result, under an opaque continuation.

Rows are made as they are read, so a result costs no more than its last page. A bounded number of results is
kept open, least recently used first out; a continuation whose result is gone still works: it says
how many rows were read, and the result is made again without them. Asking twice for the same page
gives the same page.
"""

from __future__ import annotations

import base64
import binascii
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from cosmos_emulator.errors import bad_request
from cosmos_emulator.feed import MOST_PAGE_BYTES

Rows = Iterator[bytes]
_MOST_RESULTS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some rows, and the text to go on from; None when these are the last."""

    rows: list[bytes]
    continuation: str | None


class _Result:
    """One result on its way to a client."""

    def __init__(self, rows: Rows, read: int) -> None:
        self._rows = rows
        self._pending = next(islice(rows, read, None), None)
        self._page: list[bytes] = []
        self.page_start = self.read = read

    @property
    def ended(self) -> bool:
        return self._pending is None

    def page_at(self, start: int, most: int | None) -> list[bytes]:
        if start == self.read:
            self._page = self._take(most)
            self.page_start, self.read = start, start + len(self._page)
        return self._page

    def _take(self, most: int | None) -> list[bytes]:
        taken: list[bytes] = []
        size = 0
        while self._pending is not None and len(taken) != most:
            size += len(self._pending) + 1
            if taken and size > MOST_PAGE_BYTES:
                break
            taken.append(self._pending)
            self._pending = next(self._rows, None)
        return taken


class Cursors:
    """The results that clients are paging through."""

    def __init__(self) -> None:
        self._results: OrderedDict[int, _Result] = OrderedDict()
        self._next = 1

    def page(self, continuation: str | None, most: int | None, make: Callable[[], Rows]) -> Page:
        """Returns the page that a continuation asks for, the first page without one."""
        cursor, start = (0, 0) if continuation is None else _decoded(continuation)
        result = self._results.get(cursor)
        if result is None or start not in {result.read, result.page_start}:
            cursor, result = self._open(make(), start)
        self._results.move_to_end(cursor)
        rows = result.page_at(start, most)
        ended = result.ended and start + len(rows) == result.read
        return Page(rows=rows, continuation=None if ended else _encoded(cursor, start + len(rows)))

    def _open(self, rows: Rows, start: int) -> tuple[int, _Result]:
        cursor = self._next
        self._next += 1
        result = self._results[cursor] = _Result(rows, start)
        if len(self._results) > _MOST_RESULTS:
            self._results.popitem(last=False)
        return cursor, result


def _encoded(cursor: int, row: int) -> str:
    return base64.b64encode(b"%d:%d" % (cursor, row)).decode("ascii")


FROM_THE_START = _encoded(0, 0)
"""The continuation of a result of which nothing was read."""


def _decoded(text: str) -> tuple[int, int]:
    try:
        cursor, row = base64.b64decode(text, validate=True).split(b":")
        return int(cursor), int(row)
    except (binascii.Error, ValueError) as error:
        raise bad_request("The continuation token is not valid.") from error
