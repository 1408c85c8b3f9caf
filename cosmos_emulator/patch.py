"""Applies patch operations to a document, and evaluates the condition of a conditional patch.

Pure: the given document and operations are not changed, and either all operations apply or
`PatchError` says which one cannot. Knows nothing of storage: the caller keeps the result under the
same id and partition key, whose paths it names in `protected`.
Source: Cosmos DB documentation, partial document update and its FAQ; paths as in RFC 6901.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cosmos_emulator.query import Budget, QueryError, compile_condition

MAX_OPERATIONS: Final = 10
SYSTEM_PROPERTIES: Final = frozenset(
    {"id", "_rid", "_self", "_etag", "_attachments", "_ts", "_lsn"}
)
"""What the service alone sets; `ttl` is the user's."""

_CONDITION_STEPS: Final = 20_000
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,8}")
_BAD_ESCAPE: Final = re.compile(r"~(?![01])")
_APPEND: Final = "-"


class PatchError(Exception):
    """A patch that cannot be applied; the document stays as it was.

    Attributes:
        message: one line that names the operation and the reason.
    """

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Operation:
    """One checked operation; `label` names it in errors."""

    label: str
    pointer: tuple[str, ...]
    value: Any = None
    source: tuple[str, ...] = ()

    def error(self, reason: str) -> PatchError:
        return PatchError(f"{self.label}: {reason}")


def apply_patch(
    document: Mapping[str, Any],
    operations: Sequence[Mapping[str, Any]],
    *,
    protected: Iterable[str] = (),
) -> dict[str, Any]:
    """The document after all operations, applied in order.

    Args:
        document: decoded JSON; not changed.
        operations: `{"op": add|set|replace|remove|incr|move, "path", "value"?, "from"?}` each.
        protected: paths that no operation may touch, such as those of the partition key.

    Raises:
        PatchError: no operation or more than ten, or one that is malformed, meets a path that is
            not there, or touches a system property, the id or a protected path.
    """
    if not 1 <= len(operations) <= MAX_OPERATIONS:
        raise PatchError(f"A patch takes 1 to {MAX_OPERATIONS} operations")
    guarded = [(name,) for name in SYSTEM_PROPERTIES] + [
        _pointer(path, "A protected path") for path in protected
    ]
    patched: dict[str, Any] = _copied(dict(document))
    for number, raw in enumerate(operations, start=1):
        apply, operation = _checked(raw, number, guarded)
        apply(patched, operation)
    return patched


def condition_holds(
    condition: str,
    document: Mapping[str, Any],
    *,
    now_seconds: Callable[[], float] | None = None,
) -> bool:
    """Whether the document meets `FROM c WHERE ...`; the clock is Unix time in seconds.

    Raises:
        PatchError: the condition cannot be read.
    """
    if not isinstance(condition, str):
        raise PatchError("The condition of a patch must be text")
    try:
        with Budget(_CONDITION_STEPS).in_force():  # a write cannot pause
            query = compile_condition(condition, now_seconds=now_seconds)
            return bool(query.run([dict(document)]))
    except QueryError as error:
        raise PatchError(f"The condition of the patch cannot be used: {error.message}") from error


def _copied(value: Any) -> Any:
    if type(value) is dict:
        return {key: _copied(item) for key, item in value.items()}
    if type(value) is list:
        return [_copied(item) for item in value]
    return value


def _checked(
    raw: Any, number: int, guarded: list[tuple[str, ...]]
) -> tuple[Callable[[dict[str, Any], _Operation], None], _Operation]:
    name = raw.get("op") if isinstance(raw, Mapping) else None
    if not isinstance(name, str) or name not in _APPLY:
        raise PatchError(f'Patch operation {number} needs an "op" out of {", ".join(_APPLY)}')
    label = f"Patch operation {number} ({name} {raw.get('path')!r})"
    operation = _Operation(
        label=label,
        pointer=_pointer(raw.get("path"), label),
        source=_pointer(raw.get("from"), f'{label}, "from"') if name == "move" else (),
        value=_copied(raw.get("value")),
    )
    if name in _TAKES_VALUE and "value" not in raw:
        raise operation.error("a value is missing")
    for path in filter(None, (operation.pointer, operation.source)):
        if any(_overlap(path, guard) for guard in guarded):
            raise operation.error(f"'/{'/'.join(path)}' cannot be patched")
    return _APPLY[name], operation


def _overlap(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    shared = min(len(one), len(other))
    return one[:shared] == other[:shared]


def _pointer(path: Any, label: str) -> tuple[str, ...]:
    if not isinstance(path, str) or not path.startswith("/"):
        raise PatchError(f"{label}: a path must be text that starts with '/'")
    parts = path[1:].split("/")
    if "" in parts or _BAD_ESCAPE.search(path):
        raise PatchError(f"{label}: the path is malformed")
    return tuple([part.replace("~1", "/").replace("~0", "~") for part in parts])


def _parent(document: dict[str, Any], pointer: tuple[str, ...], operation: _Operation) -> Any:
    holder: Any = document
    for part in pointer[:-1]:
        holder = _element(holder, part, operation)
    if type(holder) not in {dict, list}:
        raise operation.error("the path leads through a value that is no object or array")
    return holder


def _element(holder: Any, part: str, operation: _Operation) -> Any:
    if type(holder) is dict and part in holder:
        return holder[part]
    if type(holder) is list and (index := _index(part, len(holder))) is not None:
        return holder[index]
    raise operation.error("the path does not exist")


def _index(part: str, length: int) -> int | None:
    """The index if it is below the length."""
    return index if _INDEX.fullmatch(part) and (index := int(part)) < length else None


def _put(document: dict[str, Any], operation: _Operation, *, insert: bool) -> None:
    """Writes at the path; at an array index it inserts or overwrites, at the end it appends."""
    holder, last = _parent(document, operation.pointer, operation), operation.pointer[-1]
    if type(holder) is dict:
        holder[last] = operation.value
        return
    index = len(holder) if last == _APPEND else _index(last, len(holder) + 1)
    if index is None:
        raise operation.error("the array has no such index")
    if insert or index == len(holder):
        holder.insert(index, operation.value)
    else:
        holder[index] = operation.value


def _add(document: dict[str, Any], operation: _Operation) -> None:
    _put(document, operation, insert=True)


def _set(document: dict[str, Any], operation: _Operation) -> None:
    _put(document, operation, insert=False)


def _replace(document: dict[str, Any], operation: _Operation) -> None:
    holder, last = _parent(document, operation.pointer, operation), operation.pointer[-1]
    _element(holder, last, operation)
    holder[last if type(holder) is dict else int(last)] = operation.value


def _remove(document: dict[str, Any], operation: _Operation) -> None:
    _taken(document, operation.pointer, operation)


def _taken(document: dict[str, Any], pointer: tuple[str, ...], operation: _Operation) -> Any:
    holder, last = _parent(document, pointer, operation), pointer[-1]
    _element(holder, last, operation)
    return holder.pop(last if type(holder) is dict else int(last))


def _increment(document: dict[str, Any], operation: _Operation) -> None:
    """Adds to a number; a property that is not there yet starts from the value."""
    if not _is_number(operation.value):
        raise operation.error("the value is no number")
    holder, last = _parent(document, operation.pointer, operation), operation.pointer[-1]
    if type(holder) is dict and last not in holder:
        holder[last] = operation.value
        return
    present = _element(holder, last, operation)
    if not _is_number(present):
        raise operation.error("what is there is no number")
    holder[last if type(holder) is dict else int(last)] = _sum(present, operation)


def _is_number(value: Any) -> bool:
    return type(value) in {int, float}


def _sum(present: float, operation: _Operation) -> float:
    try:
        total: float = present + operation.value
    except OverflowError:
        total = float("inf")
    if isinstance(total, int):
        return total
    if not abs(total) < float("inf"):
        raise operation.error("the sum is no finite number")
    return int(total) if total.is_integer() and abs(total) < _EXACT_INTEGER_LIMIT else total


def _move(document: dict[str, Any], operation: _Operation) -> None:
    """Takes the value away first, then adds it: array indexes in the path count without it."""
    source = operation.source
    if operation.pointer[: len(source)] == source and operation.pointer != source:
        raise operation.error("a value cannot move into itself")
    value = _taken(document, source, operation)
    _add(document, _Operation(label=operation.label, pointer=operation.pointer, value=value))


_EXACT_INTEGER_LIMIT: Final = 2**53
_TAKES_VALUE: Final = frozenset({"add", "set", "replace", "incr"})
_APPLY: Final[dict[str, Callable[[dict[str, Any], _Operation], None]]] = {
    "add": _add,
    "set": _set,
    "replace": _replace,
    "remove": _remove,
    "incr": _increment,
    "move": _move,
}
