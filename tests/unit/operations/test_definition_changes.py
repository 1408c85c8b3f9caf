from __future__ import annotations

from dataclasses import replace

from projector.operations.definition_changes import changes, differs, told_difference
from projector.ports.generations import GenerationRecord, GenerationState
from projector.projection.carts import CARTS
from projector.projection.definition import Field, Kind

NEW = replace(
    CARTS,
    fields=(
        *CARTS.fields,
        Field(name="colour", column="colour", kind=Kind.TEXT, optional=True, comment="Its colour."),
    ),
    totals=(replace(CARTS.totals[0], sums=CARTS.totals[0].sums[:1], bucket=None), CARTS.totals[1]),
)
LIVE = GenerationRecord(
    id=1,
    schema="projector_g1",
    control="projector",
    definition=CARTS,
    definition_hash="",
    processor_name="",
    state=GenerationState.LIVE,
)


def test_another_definition_is_told_in_one_line_with_what_to_type() -> None:
    assert not differs(LIVE, CARTS)
    assert differs(LIVE, NEW)
    assert changes(CARTS, NEW) == ["new column colour", "other total cart_totals"]
    assert changes(NEW, CARTS) == ["no column colour", "other total cart_totals"]
    assert changes(CARTS, replace(CARTS, rows_comment="x")) == ["other words or rules"]
    line = told_difference(LIVE, NEW)
    assert "live generation 1" in line
    assert line.endswith("projector rebuild start --promote")
    assert "\n" not in line
