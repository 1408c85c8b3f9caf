"""What a program's definition of the projection has other than the live generation's. Pure.

A changed definition is brought by a rebuild: until then, hosts go on with the live generation as it was built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from projector.ports.generations import GenerationRecord
from projector.projection.definition import Definition

TO_BRING = "projector rebuild start --promote"


def differs(live: GenerationRecord, definition: Definition) -> bool:
    """Whether this program would build another generation than the live one."""
    return live.definition != definition


def told_difference(live: GenerationRecord, definition: Definition) -> str:
    """One line for the host that goes on with the live generation as it was built."""
    return (
        f"this program defines the projection otherwise than live generation {live.id} was built"
        f" ({', '.join(changes(live.definition, definition))}); it goes on with generation {live.id} as"
        f" it is; to bring the new one: {TO_BRING}"
    )


def changes(old: Definition, new: Definition) -> Sequence[str]:
    """What is new, gone or other, in the words of the definition."""
    told = list(_named_changes("column", _columns(old), _columns(new)))
    told += _named_changes("total", _totals(old), _totals(new))
    return told or ["other words or rules"]


def _columns(of: Definition) -> Mapping[str, object]:
    return {
        of.key.column: of.key,
        **{one.column: one for one in of.fields},
        **{one.column: one for one in of.products},
    }


def _totals(of: Definition) -> Mapping[str, object]:
    return {one.name: one for one in of.totals}


def _named_changes(
    noun: str, old: Mapping[str, object], new: Mapping[str, object]
) -> Sequence[str]:
    told = [f"new {noun} {name}" for name in new if name not in old]
    told += [f"no {noun} {name}" for name in old if name not in new]
    told += [f"other {noun} {name}" for name in new if name in old and new[name] != old[name]]
    return told
