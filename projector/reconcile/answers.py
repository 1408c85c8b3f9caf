"""Point reads of many documents, where one that cannot be read costs itself alone.

A read that fails says nothing about its document, so nothing is decided for it; whether it is the
document or an outage is told by the service's answer about something else of the same place. All
other errors are those of the container and end the whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from projector.core.errors import (
    ConfigurationError,
    PageTooLarge,
    ProjectorError,
    SourceUnavailable,
)
from projector.ports.points import PointReader
from projector.ports.rows import DocumentKey, Verdict
from projector.reconcile.together import together
from projector.reconcile.verdicts import verdict_of

READS_AT_ONCE = 16
CONTROL_ID = "projector.control"
"""An id that hardly any document has; what is asked is whether the service answers."""

_MAY_BE_THE_DOCUMENTS = (ConfigurationError, PageTooLarge, SourceUnavailable)


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
    reader: PointReader, keys: Sequence[DocumentKey], *, session_token: str | None
) -> Answers:
    """Ask about each document once, a few at a time.

    Raises: what the reader raises, when the service does not answer at all.
    """
    room = asyncio.Semaphore(READS_AT_ONCE)

    async def one(key: DocumentKey) -> Verdict | ProjectorError:
        async with room:
            try:
                return await _ask(reader, key, session_token)
            except _MAY_BE_THE_DOCUMENTS as error:
                return error

    found = await together((one(key) for key in keys), name="point read")
    unread = {
        key: answer
        for key, answer in zip(keys, found, strict=True)
        if isinstance(answer, ProjectorError)
    }
    for key, error in unread.items():
        await _control(reader, key, session_token, error)
    return Answers(
        verdicts=[one for one in found if isinstance(one, Verdict)],
        unread={key: str(error) for key, error in unread.items()},
    )


async def _ask(reader: PointReader, key: DocumentKey, session_token: str | None) -> Verdict:
    read = await reader.read(key.partition_key, key.id, session_token=session_token)
    verdict = verdict_of(key, read)
    if verdict is None:
        raise SourceUnavailable("the service answered a point read without a session token")
    return verdict


async def _control(
    reader: PointReader, key: DocumentKey, session_token: str | None, error: ProjectorError
) -> None:
    """Raise the error unless the service answers about another document of that partition key."""
    try:
        await _ask(
            reader, DocumentKey(partition_key=key.partition_key, id=CONTROL_ID), session_token
        )
    except _MAY_BE_THE_DOCUMENTS:
        raise error from None
