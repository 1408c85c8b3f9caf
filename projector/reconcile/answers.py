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
from projector.ports.rows import DocumentKey, Verdict
from projector.reconcile.together import together
from projector.reconcile.verdicts import Judge

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

    found = await together((one(key) for key in keys), name="point read")
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
