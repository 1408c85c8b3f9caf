"""The page of `projector status`, drawn as a terminal shows it."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from projector.cli.status_page import details, page
from projector.core.health import Limits, diagnose
from projector.core.names import InstanceName, LeaseToken
from projector.core.ranges import FeedRange
from projector.core.states import FailureCategory, RangeFailure, RangeState
from projector.operations.status import RangeStatus, Status, facts

NOW = datetime(2026, 1, 31, tzinfo=UTC)
BOUNDS = ["", *(f"{number << 124:032X}" for number in (1, 2, 3)), "FF"]
OUTAGE = RangeFailure(
    category=FailureCategory.TARGET,
    error_type="SinkUnavailable",
    message="no answer",
    first_seen_at=NOW,
)


def reading(number: int, *, owner: str = "host-1", lag: float = 0.0) -> RangeStatus:
    return RangeStatus(
        lease_token=LeaseToken(str(number)),
        feed_range=FeedRange(min=BOUNDS[number], max=BOUNDS[number + 1]),
        owner=InstanceName(owner),
        state=RangeState.READING,
        state_since=NOW - timedelta(hours=1),
        gap_changes=round(10 * lag),
        lag_seconds=lag,
        last_poll_at=NOW,
        last_commit_at=NOW,
        opened=True,
        heard_at=NOW,
        complete_at=NOW,
    )


def stuck(number: int) -> RangeStatus:
    return RangeStatus(
        lease_token=LeaseToken(str(number)),
        feed_range=FeedRange(min=BOUNDS[number], max=BOUNDS[number + 1]),
        owner=InstanceName("host-2"),
        state=RangeState.WAITING_FOR_TARGET,
        state_since=NOW - timedelta(minutes=4),
        last_error=OUTAGE,
        opened=True,
        heard_at=NOW,
    )


def seen(*ranges: RangeStatus, silent: tuple[str, ...] = (), missing: int = 0) -> Status:
    without = [FeedRange(min=BOUNDS[n], max=BOUNDS[n + 1]) for n in range(4 - missing, 4)]
    judged = diagnose(
        facts(ranges, without, now=NOW, known_since=NOW), limits=Limits(), silent=silent
    )
    return Status(
        ranges=ranges,
        quarantined=3,
        diagnosis=judged,
        silent=silent,
        uncovered=without,
        verified_at=NOW - timedelta(hours=26),
        drift_found=0,
    )


def drawn(found: Status, *, height: int | None = None, whole: bool = False) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=80, height=height, color_system=None, highlight=False)
    console.print(page(found, now=NOW, height=height))
    if whole:
        console.print(details(found))
    return out.getvalue().splitlines()


def test_what_it_means_comes_first() -> None:
    lines = drawn(seen(*(reading(number) for number in range(4))))
    assert lines[0] == "COMPLETE AND CURRENT"
    assert lines[1] == "3 documents in quarantine; verified 1 d 2 h ago, no drift"
    assert [line.split()[:5] for line in lines[3:]] == [
        ["keys", "lease", "owner", "gap", "lag"],
        ["0-25%", "0", "host-1", "0", "0"],
        ["25-50%", "1", "host-1", "0", "0"],
        ["50-75%", "2", "host-1", "0", "0"],
        ["75-100%", "3", "host-1", "0", "0"],
    ]


def test_the_worst_range_comes_first_with_its_reason() -> None:
    lines = drawn(seen(reading(0), reading(1, lag=2.0), stuck(2), reading(3, lag=90.0)))
    text = "\n".join(lines)
    assert lines[0].startswith("NOT ADVANCING: 1 of 4 ranges: PostgreSQL does not take its changes")
    assert [line.split()[1] for line in lines if "%" in line and "range" not in line] == [*"2310"]
    assert "range 2 (keys 50-75%): PostgreSQL does not take its changes, for 4 min" in text
    assert "SinkUnavailable: no answer" in " ".join(text.split())


def test_what_all_ranges_suffer_from_is_said_once() -> None:
    lines = drawn(seen(*(stuck(number) for number in range(4))))
    assert len([line for line in lines if "does not take" in line]) == 2  # the heading, the error
    assert any(line.startswith("ranges 0, 1, 2, 3: ") for line in lines)


def test_keys_that_nobody_reads_are_a_line() -> None:
    lines = drawn(seen(reading(0), reading(1), reading(2), missing=1))
    assert lines[0].startswith("UNKNOWN: 1 of 4 ranges: no host reads the keys")
    assert any(line.split()[:3] == ["75-100%", "-", "nobody"] for line in lines)


def test_who_did_not_answer_is_named() -> None:
    lines = drawn(seen(silent=("PostgreSQL at db:5432 does not answer",)))
    assert "not everything is known: PostgreSQL at db:5432 does not answer" in lines


@pytest.mark.parametrize("bad", range(5))
def test_a_terminal_of_24_lines_shows_all_of_four_ranges(bad: int) -> None:
    ranges = [stuck(number) if number < bad else reading(number) for number in range(4)]
    lines = drawn(seen(*ranges), height=24)
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    for share in ("0-25%", "25-50%", "50-75%", "75-100%"):
        assert any(line.startswith(share) for line in lines)


def test_what_does_not_fit_is_counted_and_is_not_the_worst() -> None:
    ranges = [reading(number % 4, owner=f"host-{number}") for number in range(40)]
    ranges[39] = stuck(3)
    lines = drawn(seen(*ranges), height=24)
    assert len(lines) <= 24
    assert "host-2" in lines[4]
    assert any(line.startswith("and ") and line.endswith("none of them worse") for line in lines)


def test_a_strangers_text_stays_a_text() -> None:
    text = "\n".join(drawn(seen(reading(0, owner="[/x]\x1b[2J")), whole=True))
    assert "[/x]\\x1b[2J" in text


def test_details_have_everything() -> None:
    text = "\n".join(drawn(seen(stuck(0), reading(1)), whole=True))
    for expected in ("last commit", "last read", "2026-01-30T23:56:00Z", "SinkUnavailable x1"):
        assert expected in text
