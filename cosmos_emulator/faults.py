"""Faults that a test installs: what the service does wrong, for which requests, how often.

The first fault that matches a request is taken; one that has been taken `times` times is removed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from cosmos_emulator.documents import encode_json
from cosmos_emulator.errors import EmulatorError, bad_request
from cosmos_emulator.wire import RETRY_AFTER, SUBSTATUS, Answer, Call

ACTIONS = frozenset({"drop", "truncate", "hang", "empty"})
_NUMBERS = ("status", "substatus", "retry_after_ms", "delay_ms", "times")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Which requests (all that match the fields given), and what happens to them.

    `drop` closes the connection before the request is looked at, `hang` never answers, `truncate`
    carries the request out and cuts the answer short, `empty` answers a query with a page of no
    documents to go on from; a delay alone comes before a normal answer.
    """

    method: str | None = None
    path_prefix: str | None = None
    operation: str | None = None
    range: str | None = None
    status: int | None = None
    substatus: int | None = None
    retry_after_ms: int | None = None
    delay_ms: int | None = None
    action: str | None = None
    times: int | None = None

    def matches(self, operation: str, call: Call) -> bool:
        """True when every given field fits the request."""
        path = "/" + "/".join(call.segments)
        return (
            self.method in {None, call.method}
            and self.operation in {None, operation}
            and self.range in {None, call.range_id}
            and path.startswith(self.path_prefix or "")
        )

    def answer(self) -> Answer | None:
        """The refusal it stands for, None when it has no status."""
        if self.status is None:
            return None
        error = EmulatorError(self.status, self.substatus or 0, "A fault was installed.")
        headers: dict[str, str] = {}
        if self.substatus:
            headers[SUBSTATUS] = str(self.substatus)
        if self.retry_after_ms is not None:
            headers[RETRY_AFTER] = str(self.retry_after_ms)
        body = encode_json({"code": error.code, "message": error.message})
        return Answer(status=self.status, body=body, headers=headers, request_units=0.0)


class Faults:
    """The faults in force, oldest first; `waiting` counts the requests that hang."""

    def __init__(self) -> None:
        self._installed: list[tuple[Fault, int | None]] = []
        self.waiting = 0

    def install(self, fault: Fault) -> None:
        """Puts a fault in force."""
        self._installed.append((fault, fault.times))

    def clear(self) -> int:
        """Removes all faults; returns how many there were."""
        count = len(self._installed)
        self._installed.clear()
        return count

    def listed(self) -> list[dict[str, Any]]:
        """The faults in force with the times that are left to them."""
        return [{**_given(fault), **_left(left)} for fault, left in self._installed]

    def take(self, operation: str, call: Call) -> Fault | None:
        """Returns the fault that strikes this request, and counts it."""
        for index, (fault, left) in enumerate(self._installed):
            if fault.matches(operation, call):
                if left == 1:
                    del self._installed[index]
                elif left is not None:
                    self._installed[index] = (fault, left - 1)
                return fault
        return None


def parse_fault(body: Mapping[str, Any]) -> Fault:
    """Reads a fault; refuses unknown fields and one that would do nothing."""
    known = {field.name for field in fields(Fault)}
    if unknown := sorted(set(body) - known):
        raise bad_request(f"Unknown fault fields: {', '.join(unknown)}.")
    for name in _NUMBERS:
        value = body.get(name)
        if value is not None and (
            not isinstance(value, int) or isinstance(value, bool) or value < 0
        ):
            raise bad_request(f"The fault's {name} must be a number that is not negative.")
    fault = Fault(**body)
    if fault.action is not None and fault.action not in ACTIONS:
        raise bad_request(f"The fault's action must be one of {', '.join(sorted(ACTIONS))}.")
    if fault.status is None and fault.action is None and fault.delay_ms is None:
        raise bad_request("A fault needs a status, an action or a delay_ms.")
    if fault.times == 0:
        raise bad_request("A fault that strikes 0 times does nothing.")
    return fault


def _given(fault: Fault) -> dict[str, Any]:
    return {name: value for name, value in asdict(fault).items() if value is not None}


def _left(left: int | None) -> dict[str, int]:
    return {} if left is None else {"times": left}
