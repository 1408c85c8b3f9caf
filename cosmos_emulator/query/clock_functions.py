"""Date functions: what reads the service's clock, and what converts its times.

Times are Unix time in milliseconds, ticks of 100 nanoseconds since year 1, or ISO 8601 text with
seven digits of fraction. Source: Cosmos DB documentation, date and time functions.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from cosmos_emulator.query.text_functions import whole
from cosmos_emulator.query.values import UNDEFINED, Value

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_TICKS: Final = 621_355_968_000_000_000
_TICKS_PER_SECOND: Final = 10_000_000
_ISO: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,7})?Z", re.ASCII)


def _from_milliseconds(value: Value) -> Value:
    milliseconds = whole(value)
    if milliseconds is None:
        return UNDEFINED
    try:
        moment = _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return UNDEFINED
    return f"{moment.isoformat(timespec='microseconds')[:26]}0Z"


def _to_milliseconds(value: Value) -> Value:
    if type(value) is not str or not _ISO.fullmatch(value):
        return UNDEFINED
    try:
        moment = datetime.fromisoformat(value[:26].rstrip("Z")).replace(tzinfo=UTC)
    except ValueError:
        return UNDEFINED
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _milliseconds(now_seconds: float) -> int:
    return int(now_seconds * 1000)


def _ticks(now_seconds: float) -> int:
    return _EPOCH_TICKS + int(now_seconds * _TICKS_PER_SECOND)


def _date(now_seconds: float) -> Value:
    return _from_milliseconds(_milliseconds(now_seconds))


CLOCK_FUNCTIONS: Final[dict[str, Callable[[float], Value]]] = {
    "GETCURRENTDATETIME": _date,
    "GETCURRENTDATETIMESTATIC": _date,
    "GETCURRENTTICKS": _ticks,
    "GETCURRENTTICKSSTATIC": _ticks,
    "GETCURRENTTIMESTAMP": _milliseconds,
    "GETCURRENTTIMESTAMPSTATIC": _milliseconds,
}
"""Name -> value at the given Unix time in seconds."""

DATE_FUNCTIONS: Final[dict[str, tuple[int, int, Callable[..., Value]]]] = {
    "DATETIMETOTIMESTAMP": (1, 1, _to_milliseconds),
    "TIMESTAMPTODATETIME": (1, 1, _from_milliseconds),
}
"""Name -> fewest arguments, most arguments, function."""
