"""The totals' part of the batch statement: what really happened to the rows, added to each total.

`written` tells the old and the new image of each row: of every group, summed value and bucket that a
total needs, as `o_` and `n_`. A row that stays in its group and bucket moves it by a difference; any
other leaves the old one and enters the new one. What ends up as it was is not touched.

Locks are taken in one order by everybody: the totals of single keys first, then those that all ranges
share, in the order of the definition, each sorted by its key. Each waits for the one before by asking
for its count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from projector.postgres.generation import (
    BUCKET,
    Generation,
    bucket_of,
    group_of,
    key_columns,
    keys_of,
    value_of,
)
from projector.postgres.templates import each, filled
from projector.projection.definition import Definition, Total

DELTA = """
INSERT INTO {total} AS t ({columns})
SELECT {keys}, {moved} FROM (
  SELECT {entered}
  FROM (SELECT *, {stays} AS stays FROM written WHERE lives) w
  UNION ALL
  SELECT {left} FROM written
  WHERE was AND NOT ({still})
) d{waits}
GROUP BY {keys}
HAVING {changed}
ORDER BY {keys}
ON CONFLICT ({keys}) DO UPDATE SET
  {added}{last_change}"""

# The last change is the newest of the group's rows: what came is compared with what is there, and the
# rows are read again only when the newest one went (`left_at` says it to the total that is updated;
# nobody reads it afterwards).
LAST_CHANGE = """,
  last_changed_at = CASE
    WHEN excluded.last_changed_at >= t.last_changed_at THEN excluded.last_changed_at
    WHEN t.last_changed_at > COALESCE(excluded.left_at, '-infinity') THEN t.last_changed_at
    WHEN t.{row_count} + excluded.{row_count} > 0 THEN {newest} END"""

WAITS = "\nWHERE (SELECT count(*) FROM {before}) >= 0"


def in_locking_order(definition: Definition) -> Sequence[Total]:
    """The totals in the order in which everybody locks them."""
    key = definition.key.column
    return sorted(definition.totals, key=lambda total: all(one.of != key for one in total.by))


def delta_statements(generation: Generation) -> Iterator[tuple[str, str]]:
    """A name and a statement for each total, in the order in which they take their locks."""
    totals = in_locking_order(generation.definition)
    names = [f"moved_{total.name}" for total in totals]
    for place, total in enumerate(totals):
        text = _delta(generation, total, before=names[place - 1] if place else None)
        waited_for = place + 1 < len(totals)
        yield names[place], f"{text}\nRETURNING 1" if waited_for else text


def newest_function(generation: Generation, total: Total) -> str:
    """The name of the function that reads the rows of a group again, for its newest change."""
    return generation.table(f"newest_in_{total.name}")


def newest_call(generation: Generation, total: Total, prefix: str) -> str:
    """Calls it for a row of the total."""
    arguments = ", ".join(each(f"{prefix}{{}}", key_columns(total)))
    return f"{newest_function(generation, total)}({arguments})"


def image(definition: Definition, mark: str, prefix: str) -> Sequence[str]:
    """What totals have to know of one image of a row, each under its name; `mark` begins the names."""
    names = _image_names(definition)
    given = zip(_wanted(definition, ""), _wanted(definition, prefix), strict=True)
    expressions = {names[plain]: expression for (_, plain), (_, expression) in given}
    return [f"{expression} AS {mark}{name}" for name, expression in expressions.items()]


def _wanted(definition: Definition, prefix: str) -> Iterator[tuple[str, str]]:
    """What totals have to know of a row, and how it would like to be called."""
    for total in definition.totals:
        for group in total.by:
            if group.of != definition.key.column:
                name = f"{group.of}_day" if group.per_day else group.of
                yield name, group_of(definition, group, prefix)
    for total in definition.totals:
        for one in total.sums:
            yield one.of, value_of(definition, one.of, prefix)
    for total in definition.totals:
        if total.bucket is not None:
            yield BUCKET, bucket_of(total.bucket, prefix)


def _image_names(definition: Definition) -> Mapping[str, str]:
    """A name for each expression; two that would like the same one are told apart."""
    names: dict[str, str] = {}
    for wish, expression in _wanted(definition, ""):
        name = wish
        while expression not in names and name in names.values():
            name += "_"
        names.setdefault(expression, name)
    return names


def _delta(generation: Generation, total: Total, *, before: str | None) -> str:
    definition = generation.definition
    keys = key_columns(total)
    counted = [total.row_count, *(one.column for one in total.sums)]
    times = ["last_changed_at", "left_at"] if total.keeps_last_change else []
    newest = newest_call(generation, total, "t.") if total.keeps_last_change else ""
    moving = [(new, old) for new, old in _keys(definition, total) if new != old]
    return filled(
        DELTA,
        total=generation.table(total.name),
        columns=[*keys, *counted, *times],
        keys=keys,
        moved=[*each("sum({})", counted), *each("to_timestamp(max({}))", times)],
        entered=_entered(definition, total),
        left=_left(definition, total),
        stays=" AND ".join(["was", *(f"{new} = {old}" for new, old in moving)]),
        still=" AND ".join(["lives", *(f"{new} = {old}" for new, old in moving)]),
        waits="" if before is None else filled(WAITS, before=before),
        changed="\n  OR ".join([*each("sum({}) <> 0", counted), *_came_or_left(total)]),
        added=each("{} = t.{} + excluded.{}", counted),
        last_change=filled(LAST_CHANGE, row_count=total.row_count, newest=newest) if times else "",
    )


def _entered(definition: Definition, total: Total) -> Sequence[str]:
    """What the new image of a live row adds."""
    keys = zip(key_columns(total), _keys(definition, total), strict=True)
    names = _image_names(definition)
    added = ["CASE WHEN stays THEN 0 ELSE 1 END AS " + total.row_count]
    for one in total.sums:
        value = names[value_of(definition, one.of)]
        if definition.is_nullable(one.of):
            added.append(
                f"COALESCE(n_{value}, 0) - CASE WHEN stays THEN COALESCE(o_{value}, 0) ELSE 0 END"
                f" AS {one.column}"
            )
        else:
            added.append(
                f"CASE WHEN stays THEN n_{value} - o_{value} ELSE n_{value} END AS {one.column}"
            )
    if total.keeps_last_change:
        added += ["n_ts AS last_changed_at", "CASE WHEN stays THEN o_ts END AS left_at"]
    return [*(new if new == key else f"{new} AS {key}" for key, (new, _) in keys), *added]


def _left(definition: Definition, total: Total) -> Sequence[str]:
    """What the old image of a row takes away that leaves its group."""
    names = _image_names(definition)
    taken = ["-1"]
    for one in total.sums:
        value = f"o_{names[value_of(definition, one.of)]}"
        taken.append(f"-COALESCE({value}, 0)" if definition.is_nullable(one.of) else f"-{value}")
    if total.keeps_last_change:
        taken += ["NULL", "o_ts"]
    return [*(old for _, old in _keys(definition, total)), *taken]


def _keys(definition: Definition, total: Total) -> Sequence[tuple[str, str]]:
    """The key of the total's row, from the new image and from the old one; a document keeps its key."""
    names, key = _image_names(definition), definition.key.column
    return [
        (key, key) if expression == key else (f"n_{names[expression]}", f"o_{names[expression]}")
        for _, expression in keys_of(definition, total)
    ]


def _came_or_left(total: Total) -> Sequence[str]:
    changed = "max(last_changed_at) IS DISTINCT FROM max(left_at)"
    return [changed] if total.keeps_last_change else []
