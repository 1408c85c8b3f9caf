"""Builds documents and pages for the tests, as the service would send them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from projector.projection.writes import RowWrite

RID = "jFcSAI55Ns0="
BASE = {"id": '"1"', "cartId": '"c"', "item": '"Mug"', "quantity": "1"}


def document(
    members: str = "", *, without: Sequence[str] = (), lsn: int | None = 7, ts: int = 1_763_790_000
) -> bytes:
    """A good document with these members over it, and the service's properties at its end."""
    base = {
        name: value
        for name, value in BASE.items()
        if name not in without and not re.search(rf'"{name}"\s*:', members)
    }
    return finished(", ".join([*(f'"{n}": {v}' for n, v in base.items()), members]), lsn=lsn, ts=ts)


def finished(members: str | bytes, *, lsn: int | None = 7, ts: int = 1_763_790_000) -> bytes:
    """These members, braces and the service's properties around them."""
    head = members if isinstance(members, bytes) else members.encode()
    tail = (
        f'"_rid":"jFcSAI55Ns0CAAAAAAAAAA==","_self":"dbs/jFcSAA==/colls/{RID}/docs/x==/",'
        f'"_etag":"\\"0d00b23f-0000-0000-0000-5c7712e8{lsn or 0:04d}\\"",'
        f'"_attachments":"attachments/","_ts":{ts}'
    )
    if lsn is not None:
        tail += f',"_lsn":{lsn}'
    comma = b"," if head.rstrip().rstrip(b",") else b""
    return b"{" + head.rstrip().rstrip(b",") + comma + tail.encode() + b"}"


def page(documents: Sequence[bytes]) -> bytes:
    """A page of the feed with these documents."""
    return b'{"_rid":"%b","Documents":[%b],"_count":%d}' % (
        RID.encode(),
        b",".join(documents),
        len(documents),
    )


def row(write: RowWrite | None) -> Mapping[str, object] | None:
    """What a write says, its numbers and other fields as comparable values."""
    if write is None:
        return None
    return {
        **{name: getattr(write, name) for name in write.__struct_fields__},
        "values": [
            bytes(value) if isinstance(value, msgspec.Raw) else value for value in write.values
        ],
        "extra": None if write.extra is None else extra(write),
    }


def extra(write: RowWrite) -> dict[str, bytes]:
    """The other fields, each as the JSON text it was written with."""
    assert write.extra is not None
    decoded = msgspec.json.decode(write.extra, type=dict[str, msgspec.Raw])
    return {name: bytes(value) for name, value in decoded.items()}
