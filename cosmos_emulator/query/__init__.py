"""The emulator's SQL: compiles a Cosmos DB query text and runs it over plain documents.

Everything is evaluated over all the documents given, so ORDER BY, DISTINCT, aggregates and
OFFSET LIMIT hold across partitions. What the engine does not support is refused by name, never
answered wrongly. Knows no HTTP, no storage and no clock of its own.
"""

from __future__ import annotations

from cosmos_emulator.query.budget import PAUSE_STEPS, Budget, is_limited, spend
from cosmos_emulator.query.distributed import DistributedQuery, distributed
from cosmos_emulator.query.errors import QueryError
from cosmos_emulator.query.plan import (
    CompiledQuery,
    compile_condition,
    compile_query,
    scans_backwards,
)

__all__ = [
    "PAUSE_STEPS",
    "Budget",
    "CompiledQuery",
    "DistributedQuery",
    "QueryError",
    "compile_condition",
    "compile_query",
    "distributed",
    "is_limited",
    "scans_backwards",
    "spend",
]
