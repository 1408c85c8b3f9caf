from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from projector.core.health import Health
from projector.core.names import LeaseToken
from projector.core.secrets import conceal
from projector.core.states import RangeState
from projector.ports.console import Board, OpenReplay, ViewCount
from projector.ports.copy import HousekeepingRun
from projector.ports.generations import FillPart, FillPhase, GenerationState
from projector.web import document as pages
from projector.web.html import Html, joined, tag, text
from projector.web.page import parts, title
from tests.unit.web.pages import (
    HALVES,
    HOSTILE,
    NOW,
    Page,
    board,
    document,
    entry,
    facts,
    generation,
    happened,
    hostile_board,
    stored,
)

ONE_OF_EACH = {
    "console": pages.console(hostile_board()),
    "console without PostgreSQL": pages.console(board(stored=None, silent="no answer")),
    "console in order": pages.console(board()),
    "document": pages.quarantined(document(HOSTILE.encode(), reason=HOSTILE, detail=HOSTILE)),
    "login": pages.login(wrong=True),
    "message": pages.message(HOSTILE, HOSTILE),
}


@pytest.fixture(params=ONE_OF_EACH, ids=lambda name: name)
def page(request: pytest.FixtureRequest) -> Page:
    return Page(ONE_OF_EACH[request.param])


def test_what_strangers_wrote_is_text(page: Page) -> None:
    assert [one.get("src") for one in page.all("script")] in ([], ["/console.js"])
    assert page.all("img") == []
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", page.text)


def test_nothing_is_inline_and_nothing_is_elsewhere(page: Page) -> None:
    for name, attributes in page.elements:
        assert "style" not in attributes, name
        assert not [one for one in attributes if one.startswith("on")], name
        for place in ("src", "href", "action"):
            assert (attributes.get(place) or "/")[0] in "/#", name
            assert not (attributes.get(place) or "/").startswith("//"), name


def test_every_table_tells_what_its_cells_are(page: Page) -> None:
    scopes = {one.get("scope") for one in page.all("th")}
    assert scopes <= {"col", "row"}
    assert len(page.all("caption")) == len(page.all("table"))
    labels = {one.get("id") for _, one in page.elements} - {None}
    for one in page.all("section"):
        assert one["aria-labelledby"] in labels


def test_no_id_comes_twice(page: Page) -> None:
    ids = [one["id"] for _, one in page.elements if "id" in one]
    assert len(ids) == len(set(ids))


@pytest.fixture
def secret() -> str:
    conceal(["s3cret/key=="])
    return "s3cret/key=="


def test_no_secret_is_shown(secret: str) -> None:
    told = board(copied=secret, silent=f"cannot reach postgres://u:{secret}@h")
    raw = f'{{"id":"{secret}"}}'.encode()
    for shown in (pages.console(told), pages.quarantined(document(raw, detail=secret))):
        assert secret not in shown
        assert "***" in shown


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        (board(), "The copy is complete and current."),
        (
            board(facts(0, gap_changes=9, lag_seconds=8.0)),
            "The copy is behind, within the limit.",
        ),
        (board(facts(0, gap_changes=9, lag_seconds=8000.0)), "The copy is behind."),
        (board(facts(0, state=RangeState.STOPPED)), "The copy is not advancing."),
        (board(facts(0, heard=False)), "Whether the copy is current is unknown."),
    ],
    ids=["current", "within", "behind", "still", "unknown"],
)
def test_the_sentence_is_the_verdict_of_health(told: Board, sentence: str) -> None:
    shown = Page(pages.console(told))
    assert sentence in shown.words
    if told.diagnosis.health is not Health.CURRENT:
        assert told.diagnosis.reason in shown.words
    [aloud] = [one for _, one in shown.elements if "aria-live" in one]
    assert aloud["aria-live"] == "polite"


@pytest.mark.parametrize(("lag", "colour"), [(8.0, "behind-within"), (8000.0, "behind")])
def test_what_is_behind_within_the_limit_is_no_alarm(lag: float, colour: str) -> None:
    told = parts(board(facts(0, gap_changes=1, lag_seconds=lag), facts(1)))
    for name in ("verdict", "ranges", "hosts"):
        classes = " ".join(one.get("class") or "" for _, one in Page(told[name]).elements)
        assert colour in classes.split(), name


def test_unknown_is_never_nothing() -> None:
    told = board(
        facts(0, gap_changes=None, lag_seconds=None),
        facts(1, gap_changes=4, lag_seconds=2.0),
        quarantined=None,
        stored=stored(counts=[ViewCount(view="carts.v", rows=None)]),
    )
    figures, totals = (Page(parts(told)[name]).words for name in ("figures", "totals"))
    assert figures.count("unknown") == 3
    assert "unknown" in totals


def test_the_gravest_range_comes_first_with_its_reason_and_its_command() -> None:
    told = board(facts(0), facts(1, state=RangeState.STOPPED))
    words = Page(parts(told)["ranges"]).words
    assert words.index("no host reads it") < words.index("projector leases reset --range 0")
    assert words.index("projector leases reset --range 1") < words.index(
        "projector leases reset --range 0"
    )


def test_an_entry_leads_to_its_document_and_to_what_to_type() -> None:
    shown = Page(parts(board(stored=stored(entries=[entry()])))["quarantine"])
    assert {"/quarantine/7"} == {one["href"] for one in shown.all("a")}
    for way in ("retry", "discard"):
        assert f"projector quarantine {way} 7" in shown.words


def test_a_replay_tells_how_far_it_is() -> None:
    replay = OpenReplay(
        lease_token=LeaseToken("0"),
        feed_range=HALVES[0],
        phase="running",
        requested_at=NOW - timedelta(minutes=3),
        mark_lsn=2000,
        lsn=500,
    )
    shown = Page(parts(board(stored=stored(replays=[replay])))["replays"])
    [bar] = shown.all("progress")
    assert (bar["value"], bar["max"]) == ("500", "2000")
    assert "reading" in shown.words
    assert "3 min ago" in shown.words


def test_the_timeline_tells_what_happened_when_and_who_did_it() -> None:
    entries = [
        happened("lease_taken_over", "3", **{"from": "web-2"}),
        happened("host_stopped", "web-2", documents=12, why=None),
        happened("drift_repaired", repaired=2),
        happened("host_stopped", "web-2", why="no container"),
    ]
    shown = Page(parts(board(stored=stored(timeline=entries)))["timeline"])
    assert "2026-11-26 10:30:00" in shown.words
    assert "lease 3 taken over from web-2, which did not renew it" in shown.words
    assert "ada@desk" in shown.words
    assert "projector timeline --since 1d" in shown.words
    tones = [one["class"] for one in shown.all("span") if "event" in (one.get("class") or "")]
    assert tones == ["event look", "event plain", "event mended", "event look"]


def test_a_job_that_was_put_off_is_no_error() -> None:
    run = HousekeepingRun(
        job="verify", last_success_at=None, last_error=None, result=None, postponed="a replay runs"
    )
    shown = Page(parts(board(stored=stored(runs=[run])))["housekeeping"])
    assert "put off: a replay runs" in shown.words
    other = Page(parts(board(stored=stored(runs=[replace(run, job="verify@g2")])))["housekeeping"])
    assert "verify of generation 2" in other.words
    assert "error" not in [one.get("class") for one in shown.all("span")]
    differs = replace(run, postponed=None, last_success_at=NOW, result={"consistent": False})
    shown = Page(parts(board(stored=stored(runs=[differs])))["housekeeping"])
    assert "consistent no" in shown.words
    assert "error" in [one.get("class") for one in shown.all("span")]


def test_a_rebuild_has_a_section_only_while_there_is_one() -> None:
    assert parts(board())["rebuild"] == ""
    part = FillPart(
        feed_range=HALVES[0], phase=FillPhase.LOADING, documents=500, expected=2000, owner="web-1"
    )
    told = board(stored=stored(generations=[generation(who="ada@desk")], fill_parts=[part]))
    shown = Page(parts(told)["rebuild"])
    assert "500 of about 2,000" in shown.words
    assert "projector rebuild abort" in shown.words
    [bar] = shown.all("progress")
    assert (bar["value"], bar["max"]) == ("500", "2000")


@pytest.mark.parametrize(
    ("state", "ways"),
    [
        ("filling", "status abort"),
        ("following", "status promote abort"),
        ("former", "list rollback"),
    ],
)
def test_a_generation_says_what_can_be_done_with_it(state: str, ways: str) -> None:
    told = board(stored=stored(generations=[generation(state=GenerationState(state))]))
    words = Page(parts(told)["rebuild"]).words
    assert re.findall(r"projector rebuild (\w+?)(?=projector|$)", words) == ways.split()


@pytest.mark.parametrize(
    "raw", [b'{"a":NaN}', b"\xff\xfe", b"[" * 9000, b"", b'{"q":1e400,"n":"' + b"9" * 40 + b'"}']
)
def test_any_bytes_can_be_looked_at(raw: bytes) -> None:
    assert f"{len(raw):,} bytes" in Page(pages.quarantined(document(raw))).words


def test_an_endless_document_is_cut_and_says_so() -> None:
    shown = pages.quarantined(document(b"x" * (pages.MOST_CHARACTERS + 5)))
    assert "and 5 characters more" in shown
    assert len(shown) < 2 * pages.MOST_CHARACTERS


def test_a_thousand_ranges_make_no_endless_page() -> None:
    told = board(*(facts(0) for _ in range(1000)))
    assert "and 800 more, none of them worse" in Page(parts(told)["ranges"]).words.replace(
        "800 ranges", "800"
    )


def test_the_last_hour_is_drawn_by_the_minute_and_said_aloud() -> None:
    shown = Page(parts(board())["plots"])
    lag, rate = shown.all("svg")
    assert lag["aria-label"] == "Lag of the last hour by the minute: at most 1 min 30 s"
    assert rate["aria-label"] == (
        "Throughput of the last hour by the minute: at most 600.0 documents/s"
    )
    bars = shown.all("rect")
    assert [one["class"] for one in bars[:4]] == ["bar", "bar", "bar unknown", "bar"]
    assert len(bars) == 8, "what is older than the hour is not drawn"
    assert all(0 <= float(one["x"] or -1) <= 600 for one in bars)
    assert "unknown" in shown.words


def test_an_hour_of_which_nothing_is_known_is_no_hour_of_nothing() -> None:
    shown = Page(parts(board(stored=stored(samples=[])))["plots"])
    assert shown.words.count("not known yet") >= 2
    assert shown.all("rect") == []


def test_only_markup_is_markup() -> None:
    assert tag("p", "<b>", Html("<i></i>"), class_="a b", data_x='"') == (
        '<p class="a b" data-x="&quot;">&lt;b&gt;<i></i></p>'
    )
    assert joined(None, "a", 1) == "a1"
    assert text("\x00") == r"\x00"


def test_the_tab_says_it_too() -> None:
    assert title(board()) == "Complete and current - projector"
