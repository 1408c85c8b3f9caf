"""Where paged reads stand: what is left of a result, under an opaque continuation.

A bounded number of results is kept, least recently used first out. A continuation whose result is gone still
works: it says at which row to go on, and the result is made again.
"""

from __future__ import annotations

import base64
import binascii
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from projector.emulator.documents import Document
from projector.emulator.errors import bad_request

Row = Document | bytes
_MOST_RESULTS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class _Continuation:
    cursor: int
    row: int

    def encoded(self) -> str:
        return base64.b64encode(b"%d:%d" % (self.cursor, self.row)).decode("ascii")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenResult:
    """A result, the row to go on at, and the name it is kept under."""

    rows: Sequence[Row]
    row: int
    cursor: int

    def continuation(self, row: int) -> str | None:
        """Returns the text to go on from `row`, None when the result ends there."""
        if row >= len(self.rows):
            return None
        return _Continuation(cursor=self.cursor, row=row).encoded()


class Cursors:
    """The results that clients are paging through."""

    def __init__(self) -> None:
        self._results: OrderedDict[int, Sequence[Row]] = OrderedDict()
        self._next = 1

    def open(self, continuation: str | None, make: Callable[[], Sequence[Row]]) -> OpenResult:
        """Returns the result that a continuation belongs to, or makes one."""
        if continuation is None:
            return self._keep(make(), 0)
        at = _decode(continuation)
        rows = self._results.get(at.cursor)
        if rows is None:
            return self._keep(make(), at.row)
        self._results.move_to_end(at.cursor)
        return OpenResult(rows=rows, row=at.row, cursor=at.cursor)

    def close(self, result: OpenResult) -> None:
        """Forgets a result that was read to its end."""
        self._results.pop(result.cursor, None)

    def _keep(self, rows: Sequence[Row], row: int) -> OpenResult:
        cursor = self._next
        self._next += 1
        self._results[cursor] = rows
        if len(self._results) > _MOST_RESULTS:
            self._results.popitem(last=False)
        return OpenResult(rows=rows, row=row, cursor=cursor)


def _decode(text: str) -> _Continuation:
    try:
        cursor, row = base64.b64decode(text, validate=True).split(b":")
        return _Continuation(cursor=int(cursor), row=int(row))
    except (binascii.Error, ValueError) as error:
        raise bad_request("The continuation token is not valid.") from error
