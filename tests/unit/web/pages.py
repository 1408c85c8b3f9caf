"""A console to look at, and a reader of its pages that knows elements, attributes and texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

from typing_extensions import override

from projector.core.health import Limits, RangeFacts, diagnose
from projector.core.names import InstanceName, LeaseToken
from projector.core.ranges import FeedRange
from projector.core.states import FailureCategory, RangeFailure, RangeState
from projector.ports.console import Board, OpenReplay, Sample, StoredSide, ViewCount
from projector.ports.copy import HousekeepingRun
from projector.ports.generations import FillPart, FillPhase, GenerationRecord, GenerationState
from projector.ports.quarantine import EntryStatus, QuarantinedDocument, QuarantineEntry
from projector.ports.timeline import TimelineEntry
from projector.projection.carts import CARTS

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>\x1b[2J\u202eevil"
DRAWN = [
    Sample(
        minute=NOW - timedelta(minutes=ago),
        documents=600 * ago,
        lag_seconds=lag,
        unknown=lag is None,
    )
    for ago, lag in ((0, 0.0), (1, 2.5), (2, None), (59, 90.0), (60, 7.0))
]
EMPTY = {"meta", "link", "input", "br", "path", "line", "rect", "polyline", "circle"}


@dataclass
class Page(HTMLParser):
    """What a browser would see; refuses elements that are not closed in their order."""

    text: str
    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    words: str = ""
    _open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)
        self.close()
        assert self._open == []

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs), f"an attribute twice in {tag}"
        if tag not in EMPTY:
            self._open.append(tag)

    @override
    def handle_endtag(self, tag: str) -> None:
        if tag not in EMPTY:
            assert self._open.pop() == tag

    @override
    def handle_data(self, data: str) -> None:
        self.words += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def entry(**values: Any) -> QuarantineEntry:
    told: dict[str, Any] = {
        "id": 7,
        "partition_key": '"cart-1"',
        "document_id": "line-1",
        "key": "cart-1",
        "status": EntryStatus.OPEN,
        "reason": "bad_price",
        "detail": "price is no number",
        "sqlstate": None,
        "lineage": 0,
        "lsn": 5,
        "ts": 5,
        "etag": "e",
        "first_seen_at": NOW - timedelta(hours=2),
        "last_seen_at": NOW,
        "closed_at": None,
        "count": 3,
    }
    return QuarantineEntry(**told | values)


def document(raw: bytes = b'{"id":"line-1"}', **values: Any) -> QuarantinedDocument:
    return QuarantinedDocument(entry=entry(**values), raw=raw, last_good=None)


HALVES = (FeedRange(min="", max="1FFF"), FeedRange(min="1FFF", max="FF"))


def facts(half: int = 0, **values: Any) -> RangeFacts:
    told: dict[str, Any] = {
        "lease_token": LeaseToken(str(half)),
        "feed_range": HALVES[half],
        "read_age_seconds": 0.2,
        "commit_age_seconds": 3.0,
        "owner": InstanceName("host-a"),
        "opened": True,
        "heard": True,
        "heard_seconds": 0.5,
        "state": RangeState.READING,
        "state_seconds": 90.0,
        "gap_changes": 0,
        "lag_seconds": 0.0,
        "complete_age_seconds": 0.0,
    }
    return RangeFacts(**told | values)


def board(*ranges: RangeFacts, **values: Any) -> Board:
    told = ranges or (facts(0), facts(1))
    given: dict[str, Any] = {
        "now": NOW,
        "instance": InstanceName("host-a"),
        "version": "1",
        "copied": "acme-webstore/cart in PostgreSQL schema carts",
        "diagnosis": diagnose(told, limits=Limits()),
        "look_age_seconds": 0.5,
        "quarantined": 0,
        "stored": stored(),
    }
    return Board(**given | values)


def stored(**values: Any) -> StoredSide:
    return replace(
        StoredSide(
            read_at=NOW, samples=DRAWN, counts=[ViewCount(view="carts.cart_items", rows=1234)]
        ),
        **values,
    )


def happened(kind: str, subject: str = "", **detail: Any) -> TimelineEntry:
    moment = NOW - timedelta(minutes=90)
    return TimelineEntry(
        id=1, happened_at=moment, kind=kind, subject=subject, detail=detail, actor="ada@desk"
    )


def generation(**values: Any) -> GenerationRecord:
    told: dict[str, Any] = {
        "id": 2,
        "schema": "projector_g2",
        "control": "projector_g2",
        "definition": CARTS,
        "definition_hash": "h",
        "processor_name": "projector@g2",
        "state": GenerationState.FILLING,
        "created_at": NOW - timedelta(minutes=4),
    }
    return GenerationRecord(**told | values)


def hostile_news() -> dict[str, Any]:
    """The timeline and a rebuild, of which strangers wrote every text."""
    news = TimelineEntry(
        id=1,
        happened_at=NOW,
        kind=HOSTILE,
        subject=HOSTILE,
        detail={HOSTILE: HOSTILE},
        actor=HOSTILE,
    )
    part = FillPart(
        feed_range=HALVES[0], phase=FillPhase.LOADING, documents=3, owner=HOSTILE, error=HOSTILE
    )
    return {
        "timeline": [news],
        "generations": [generation(who=HOSTILE, why=HOSTILE)],
        "fill_parts": [part],
    }


def hostile_board() -> Board:
    """Strangers wrote every text of it."""
    name = InstanceName(HOSTILE)
    failure = RangeFailure(
        category=FailureCategory.SOURCE, error_type=HOSTILE, message=HOSTILE, first_seen_at=NOW
    )
    run = HousekeepingRun(
        job=HOSTILE,
        last_success_at=None,
        last_error=HOSTILE,
        result={HOSTILE: HOSTILE},
    )
    replay = OpenReplay(
        lease_token=LeaseToken(HOSTILE),
        feed_range=HALVES[0],
        phase=HOSTILE,
        requested_at=NOW,
        mark_lsn=9,
        lsn=4,
    )
    bad = entry(
        partition_key=HOSTILE, document_id=HOSTILE, reason=HOSTILE, detail=HOSTILE, sqlstate=HOSTILE
    )
    silent: Sequence[RangeFacts] = [
        facts(0, owner=name, lease_token=LeaseToken(HOSTILE), state=RangeState.THROTTLED),
        facts(1, owner=name, heard=False),
    ]
    return board(
        *silent,
        instance=name,
        copied=HOSTILE,
        silent=HOSTILE,
        errors={LeaseToken(HOSTILE): failure, LeaseToken("1"): failure},
        stored=stored(
            counts=[ViewCount(view=HOSTILE, rows=None)],
            entries=[bad],
            replays=[replay],
            runs=[run, replace(run, last_error=None, postponed=HOSTILE)],
            **hostile_news(),
        ),
    )
