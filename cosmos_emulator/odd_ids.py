"""Ids that a URL may not carry as they are, and what SDKs, proxies and gateways make of them.

The service stores such an id; who asks for it by URL is told that the signature is wrong, that there is
no such document, or is given the document of another id. Which of these a request meets is chosen.
Source: Cosmos DB documentation, unique ids; RFC 3986, 3.3 and 3.5; for `gateway` what the tests of the SDKs
for Go and Java expect of the service's own gateway (id encoding).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from urllib.parse import quote

from cosmos_emulator.errors import EmulatorError, bad_request
from cosmos_emulator.wire import Call

_BROKEN = re.compile(r"[\t\n\r]")
_SIGNED_OTHERWISE = re.compile(r"[/\\#]|%[0-9A-Fa-f]{2}|\s$")
_ENDS = re.compile(r"[/\\?#]")
_BEFORE_ID = 5
_ABSENT = "\0"  # no document has this id


class OddIdAnswer(StrEnum):
    """What a request meets that names a document by an odd id."""

    AS_SENT = "as_sent"
    GATEWAY = "gateway"
    UNAUTHORIZED = "unauthorized"
    NOT_FOUND = "not_found"
    OTHER_DOCUMENT = "other_document"


@dataclass(slots=True)
class OddIds:
    """The choice in force; at first the path is read as it was sent."""

    answer: OddIdAnswer = OddIdAnswer.AS_SENT

    def choose(self, name: str) -> None:
        """Puts another choice in force."""
        try:
            self.answer = OddIdAnswer(name)
        except ValueError as error:
            known = ", ".join(OddIdAnswer)
            raise bad_request(f"The answer must be one of {known}.") from error

    def carried(self, call: Call) -> Call:
        """The request as it arrives; raises the 401 that it meets.

        Its signature is checked no more when it arrives as another one than was sent.
        """
        name = "/".join(call.segments[_BEFORE_ID:])
        if not _is_of_document(call):
            return call
        match self.answer:
            case OddIdAnswer.AS_SENT:
                return call
            case OddIdAnswer.GATEWAY:
                _pass_gateway(name)
                return call
            case _ if not _is_odd(name):
                return call
            case OddIdAnswer.UNAUTHORIZED:
                raise _unauthorized()
            case OddIdAnswer.NOT_FOUND:
                name = _ABSENT
            case OddIdAnswer.OTHER_DOCUMENT:
                name = _ENDS.split(name)[0].strip().strip(".")
        parts = (*call.segments[:_BEFORE_ID], name)
        return replace(call, path="/".join(quote(part, safe="") for part in parts), altered=True)


def _pass_gateway(name: str) -> None:
    if _BROKEN.search(name):
        raise bad_request("The request has an invalid path.")
    if _SIGNED_OTHERWISE.search(name):
        raise _unauthorized()


def _unauthorized() -> EmulatorError:
    return EmulatorError(401, 0, "The input authorization token can't serve the request.")


def _is_of_document(call: Call) -> bool:
    return len(call.segments) > _BEFORE_ID and call.segments[4] == "docs"


def _is_odd(name: str) -> bool:
    return bool(_ENDS.search(name)) or name != name.strip() or not name.strip(".")
