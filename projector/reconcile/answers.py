"""What the container says of single documents, and writing it: one that fails costs itself alone.

A point read, found or 404, is a version of the document: the LSN in the answer's session token
is an upper bound of the version read and lies below any later write. Without that LSN nothing is
decided. Source: docs/explanation/correctness.md, "Repair does not take locks".

A read that fails says nothing about its document, so nothing is decided for it; whether it is the
document or an outage is told by the service's answer about something else of the same place. All
other errors are those of the container and end the whole.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from projector.core.epk import epk_of_json, routing_key
from projector.core.errors import (
    ConfigurationError,
    PageTooLarge,
    ProjectorError,
    SinkTooSlow,
    SourceUnavailable,
)
from projector.ports.points import PointReader
from projector.ports.rows import DocumentKey, Verdict
from projector.projection.project import Projection
from projector.projection.writes import RowWrite
from projector.reconcile.tasks import all_of

T = TypeVar("T")
READS_AT_ONCE = 16
CONTROL_ID = "projector.control"
"""An id that hardly any document has; what is asked is whether the service answers."""

_MAY_BE_THE_DOCUMENTS = (ConfigurationError, PageTooLarge, SourceUnavailable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Asks the container about single documents and tells what the answer means for the tables.

    A document that is not meant is, to the copy, not there.
    """

    reader: PointReader
    projection: Projection

    async def ask(self, key: DocumentKey, *, session_token: str | None = None) -> Verdict:
        """Read one document.

        Raises:
            SourceUnavailable: among others, the answer bore no session token.
        """
        read = await self.reader.read(key.partition_key, key.id, session_token=session_token)
        lsn = read.session_lsn
        if lsn is None:
            raise SourceUnavailable("the service answered a point read without a session token")
        if read.raw is None or not self.projection.selection.takes(read.raw):
            return Verdict(key=key, lsn=lsn, write=absence(key, lsn))
        outcome = self.projection.document(read.raw, lsn=lsn)
        return Verdict(key=key, lsn=lsn, write=outcome.write, rejection=outcome.rejection)


def absence(key: DocumentKey, lsn: int) -> RowWrite | None:
    """The tombstone of an absent document; None when no row of that key can exist."""
    text = json.loads(key.partition_key)
    if not isinstance(text, str) or not text or not key.id:
        return None
    epk = routing_key(epk_of_json(key.partition_key))
    return RowWrite(text, key.id, epk, lsn, ts=0, etag="", deleted=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What the container said: verdicts in the order of the keys, and why there are no others."""

    verdicts: Sequence[Verdict]
    unread: Mapping[DocumentKey, str]

    def without(self, unwritten: Mapping[DocumentKey, str]) -> Answers:
        """The same, but for what could not be written: nothing is decided for that either."""
        return Answers(
            verdicts=[one for one in self.verdicts if one.key not in unwritten],
            unread={**self.unread, **unwritten},
        )


async def read_answers(
    judge: Judge, keys: Sequence[DocumentKey], *, session_token: str | None
) -> Answers:
    """Ask about each document once, a few at a time.

    Raises: what the judge raises, when the service does not answer at all.
    """
    room = asyncio.Semaphore(READS_AT_ONCE)

    async def one(key: DocumentKey) -> Verdict | ProjectorError:
        async with room:
            try:
                return await judge.ask(key, session_token=session_token)
            except _MAY_BE_THE_DOCUMENTS as error:
                return error

    found = await all_of((one(key) for key in keys), name="point read")
    unread = {
        key: answer
        for key, answer in zip(keys, found, strict=True)
        if isinstance(answer, ProjectorError)
    }
    for key, error in unread.items():
        await _control(judge, key, session_token, error)
    return Answers(
        verdicts=[one for one in found if isinstance(one, Verdict)],
        unread={key: str(error) for key, error in unread.items()},
    )


async def _control(
    judge: Judge, key: DocumentKey, session_token: str | None, error: ProjectorError
) -> None:
    """Raise the error unless the service answers about another document of that partition key."""
    try:
        other = DocumentKey(partition_key=key.partition_key, id=CONTROL_ID)
        await judge.ask(other, session_token=session_token)
    except _MAY_BE_THE_DOCUMENTS:
        raise error from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Written(Generic[T]):
    """What each part's write said, and why documents were not written."""

    answers: Sequence[T]
    unwritten: Mapping[DocumentKey, str]


async def in_halves(
    write: Callable[[Sequence[Verdict]], Awaitable[T]], verdicts: Sequence[Verdict]
) -> Written[T]:
    """Write all at once, or in halves of halves around what is too much for the target.

    Raises:
        SinkTooSlow: Nothing could be written in time, so it is the target that is slow.
    """
    answers: list[T] = []
    unwritten: dict[DocumentKey, str] = {}
    waiting = [verdicts]
    while waiting:
        part = waiting.pop()
        try:
            answers.append(await write(part))
        except SinkTooSlow as error:
            middle = len(part) // 2
            if middle:
                waiting += [part[middle:], part[:middle]]
                continue
            unwritten.update({one.key: str(error) for one in part})
            if not answers and (not waiting or len(unwritten) > 1):
                raise
    return Written(answers=answers, unwritten=unwritten)
