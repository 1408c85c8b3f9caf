"""Loads many documents in one control request: newline-delimited JSON, stored as it arrives."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import unquote

from cosmos_emulator.documents import MOST_DOCUMENT_BYTES
from cosmos_emulator.engine import Engine
from cosmos_emulator.errors import EmulatorError, too_large
from cosmos_emulator.wire import Answer, error_answer, json_answer

LONGEST_LINE_BYTES = 2 * MOST_DOCUMENT_BYTES
"""A document and what may be written around it; a longer line is never a document."""


async def load_lines(engine: Engine, path: str, chunks: AsyncIterator[bytes]) -> Answer:
    """Upserts each line of the chunks; `path` names the container. Stops at the first line that is refused."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    loaded = 0
    try:
        container = engine.container(parts[2], parts[4])
        rest = b""
        async for chunk in chunks:
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > LONGEST_LINE_BYTES:
                raise too_large()
            loaded += container.load(line for line in lines if line.strip())
        loaded += container.load([rest] if rest.strip() else [])
    except EmulatorError as error:
        error.message = f"{error.message} ({loaded} documents were loaded)"
        return error_answer(error)
    except IndexError:
        return error_answer(EmulatorError(404, 0, f"There is no {path}."))
    return json_answer(200, {"loaded": loaded})
