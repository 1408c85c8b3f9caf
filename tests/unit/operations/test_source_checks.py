"""Whether the container of the settings is the one that the target copies; the rest: test_doctor."""

from __future__ import annotations

import pytest

from projector.core.errors import OtherSource, ProjectionChanged, SourceRecreated
from projector.core.names import SourceIdentity, SourceName
from projector.operations.checks import Verdict
from projector.operations.source_checks import refuse_others, same_source
from projector.ports.copy import CopiedSource

HERE = SourceName(account="acme", database="shop", container="cart")
ELSEWHERE = SourceName(account="acme", database="shop", container="carts")
MEANT = SourceIdentity(name=HERE, key_path="/cartId", projection="carts")


def test_the_same_container_under_the_same_filter_is_fine() -> None:
    copied = CopiedSource(rid="rid", name=HERE, projection="carts")
    assert [one.verdict for one in same_source(copied, "rid", MEANT)] == [Verdict.OK]
    assert "nothing is copied yet" in same_source(None, "rid", MEANT)[0].detail


def test_another_name_of_the_same_container_is_a_doubt() -> None:
    copied = CopiedSource(rid="rid", name=ELSEWHERE, projection="carts")
    assert [one.verdict for one in same_source(copied, "rid", MEANT)] == [Verdict.WARNING]


@pytest.mark.parametrize(
    ("copied", "error"),
    [
        pytest.param(CopiedSource(rid="old", name=HERE), SourceRecreated, id="created again"),
        pytest.param(CopiedSource(rid="old", name=ELSEWHERE), OtherSource, id="mistyped"),
        pytest.param(
            CopiedSource(rid="rid", name=HERE, projection="carts where type = line"),
            ProjectionChanged,
            id="another filter",
        ),
    ],
)
def test_whatever_else_is_copied_is_refused(copied: CopiedSource, error: type[Exception]) -> None:
    with pytest.raises(error):
        refuse_others(copied, "rid", MEANT)
    with pytest.raises(error):
        same_source(copied, "rid", MEANT)
