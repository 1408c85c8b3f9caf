"""Cuts a page into its documents, and a document into its members, without decoding them.

For pages that do not decode as a whole: bytes that are not UTF-8, lone surrogates, NaN, nesting
without end, documents that are no JSON at all. The frame of a page is the service's and can be
relied upon; so can the properties that it puts at the end of each document, among them `_lsn` as
the last. Where the brackets of a document do not add up, or the pieces are not as many as the page
says, documents end where those do. A page whose own end is missing is none: it was cut off on its
way, and must not be taken for delivered.

Linear in the size of the page, iterative, indifferent to what the bytes hold.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_TOKEN = re.compile(
    rb"[ \t\r\n]*+(?:(" + _STRING + rb')|([\[{])|([\]}])|([,:])|([^\s,:\[\]{}"]++))', re.DOTALL
)
_KEY = re.compile(rb"[ \t\r\n]*+(" + _STRING + rb")[ \t\r\n]*+:[ \t\r\n]*+", re.DOTALL)
_COMMA = re.compile(rb"[ \t\r\n]*+,[ \t\r\n]*+")
_SPACE = re.compile(rb"[ \t\r\n]*+")
_OPEN = re.compile(rb"[ \t\r\n]*+\{")
_CLOSE = re.compile(rb"[ \t\r\n]*+\}[ \t\r\n]*+")
_DOCUMENTS = re.compile(rb'"Documents"[ \t\r\n]*+:[ \t\r\n]*+\[')
_COUNT = re.compile(rb'"_count"[ \t\r\n]*+:[ \t\r\n]*+([0-9]{1,9})')
_TRAILER = re.compile(
    rb'\][ \t\r\n]*+(?:,[ \t\r\n]*+"[^"\\]*+"[ \t\r\n]*+:[ \t\r\n]*+'
    rb'(?:"[^"\\]*+"|[^\s,"\[\]{}]++)[ \t\r\n]*+)*+\}[ \t\r\n]*+'
)
_SYSTEM_TAIL = re.compile(
    rb'"_(?:lsn|ts|etag|rid|self|attachments)"[ \t\r\n]*+:[ \t\r\n]*+(?:-?[0-9]++|'
    + _STRING
    + rb")[ \t\r\n]*+\}(?=[ \t\r\n]*+,[ \t\r\n]*+\{)",
    re.DOTALL,
)
_SCANS_PER_BYTE = 4
_CLOSER_OF = {b"{": b"}", b"[": b"]"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """The members of one object, as bytes.

    Attributes:
        values: bytes of the value by the bytes of its key, quotes included; the last one wins.
        complete: the whole object was understood; if not, these are the members up to where
            its brackets and quotes stop making sense.
    """

    values: dict[bytes, bytes] = field(default_factory=dict)
    complete: bool = False


def cut_page(body: bytes) -> tuple[bytes, ...] | None:
    """Cut a page at its documents' borders; None when its beginning or its end is missing."""
    head = _DOCUMENTS.search(body)
    end = body.rfind(b"]")
    if head is None or end < head.end() or not _TRAILER.fullmatch(body, end):
        return None
    count = _COUNT.search(body, end)
    documents, complete = _cut_documents(body, head.end(), end, trusts_brackets=True)
    if not complete and count is None:
        return None
    if count is not None and len(documents) != int(count[1]):
        by_tails, _ = _cut_documents(body, head.end(), end, trusts_brackets=False)
        documents = by_tails if len(by_tails) == int(count[1]) else documents
    return tuple(documents)


def members_of(document: bytes) -> Members:
    """Cut one object into its top-level members; no bytes make it fail."""
    values: dict[bytes, bytes] = {}
    opened = _OPEN.match(document)
    if opened is None:
        return Members()
    at = opened.end()
    while (key := _KEY.match(document, at)) is not None:
        stop, sound = _value_end(document, key.end(), len(document))
        if not sound:
            return Members(values=values)
        values.pop(key[1], None)  # so that the order is that of the last occurrences
        values[key[1]] = document[key.end() : stop]
        comma = _COMMA.match(document, stop)
        if comma is None:
            return Members(values=values, complete=bool(_CLOSE.fullmatch(document, stop)))
        at = comma.end()
    return Members(values=values, complete=not values and bool(_CLOSE.fullmatch(document, at)))


def last_member(document: bytes, name: bytes) -> bytes | None:
    """The number or string that last stands behind this name, wherever that is."""
    found = None
    for found in re.finditer(  # noqa: B007 - the last one is wanted
        rb'"' + name + rb'"[ \t\r\n]*+:[ \t\r\n]*+(-?[0-9]++|' + _STRING + rb")",
        document,
        re.DOTALL,
    ):
        pass
    return found[1] if found else None


def _cut_documents(
    body: bytes, at: int, end: int, *, trusts_brackets: bool
) -> tuple[list[bytes], bool]:
    """The pieces between `at` and `end`, and whether the last one was understood."""
    documents: list[bytes] = []
    budget = _SCANS_PER_BYTE * len(body) if trusts_brackets else 0  # then tails alone decide
    complete = True
    at = _skip_space(body, at)
    while at < end:
        stop, complete = _value_end(body, at, end) if budget > 0 else (at, False)
        budget -= stop - at
        if not complete or not _at_border(body, stop, end):
            complete = False
            tail = _SYSTEM_TAIL.search(body, at, end)
            stop = tail.end() if tail else end
        documents.append(body[at:stop].rstrip())
        comma = _COMMA.match(body, stop, end)
        at = comma.end() if comma else end
    return documents, complete


def _at_border(body: bytes, at: int, end: int) -> bool:
    """Whether nothing but the next document or the end of the array follows."""
    return _skip_space(body, at) >= end or _COMMA.match(body, at, end) is not None


def _skip_space(body: bytes, at: int) -> int:
    found = _SPACE.match(body, at)
    return found.end() if found else at


def _value_end(data: bytes, at: int, end: int) -> tuple[int, bool]:
    """Where the value that starts here ends, or where it stops making sense, and which of both.

    Checks brackets and the alternation of values and separators, not the values themselves.
    """
    brackets: list[bytes] = []
    last = b""  # the last token: an opening bracket, a separator, or `v` for a whole value
    while (token := _TOKEN.match(data, at, end)) is not None:
        string, opener, closer, separator, _ = token.groups()
        if separator:
            sound = last == b"v"
        elif closer:
            sound = bool(brackets) and _CLOSER_OF[brackets.pop()] == closer
        else:
            in_object = bool(brackets) and brackets[-1] == b"{"
            sound = last != b"v" and (string is not None or not in_object or last == b":")
        if not sound:
            break
        at = token.end()
        if opener:
            brackets.append(opener)
        last = opener or separator or b"v"
        if not brackets:
            return at, True
    return at, False
