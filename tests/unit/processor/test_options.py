from __future__ import annotations

from typing import Any

import pytest

from projector.core.errors import ConfigurationError
from projector.core.names import InstanceName
from projector.processor.options import ProcessorOptions


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"instance_name": InstanceName("")}, "instance name", id="nameless"),
        pytest.param(
            {"renew_seconds": 60.0, "expiration_seconds": 60.0}, "renewal", id="renewed too late"
        ),
        pytest.param({"page_size": 0}, "page_size", id="empty pages"),
        pytest.param({"batch_documents": 0}, "batch_documents", id="empty batches"),
        pytest.param({"poll_min_seconds": 0.0}, "poll_min_seconds", id="no pause"),
        pytest.param({"stall_seconds": -1.0}, "stall_seconds", id="negative"),
        pytest.param(
            {"poll_min_seconds": 2.0, "poll_max_seconds": 1.0}, "must not exceed", id="inverted"
        ),
    ],
)
def test_options_that_cannot_work_are_refused(changes: dict[str, Any], words: str) -> None:
    good: dict[str, Any] = {"processor_name": "p", "instance_name": InstanceName("a")}
    assert ProcessorOptions(**good).page_size == 1000
    with pytest.raises(ConfigurationError, match=words):
        ProcessorOptions(**good | changes)
