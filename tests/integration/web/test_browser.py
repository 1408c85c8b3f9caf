"""The console in a real browser: what a person sees, live, on any screen, and what a stranger's text does not do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from projector.ports.generations import FillPart, FillPhase
from projector.web import console
from tests.integration.web import chromium
from tests.integration.web.chromium import Tab
from tests.integration.web.test_console import Shown, served
from tests.unit.web.pages import (
    HALVES,
    HOSTILE,
    board,
    entry,
    facts,
    generation,
    happened,
    hostile_board,
    stored,
)

PROGRAM = chromium.installed()
pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason=f"there is no browser: none of {', '.join(chromium.NAMES)} is installed"
)

WIDE, NARROW = (1280, 900), (390, 844)
TEXT = "document.body.innerText"
OVERFLOWS = "document.documentElement.scrollWidth > innerWidth"
GROUND = "getComputedStyle(document.body).backgroundColor"
# The contrast of the WCAG between a text and the ground behind it, of each text that stands alone.
FAINT = """(() => {
  const light = (c) => { const v = c / 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
  const parsed = (text) => text.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
  const ground = (node) => {
    for (let at = node; at !== null; at = at.parentElement) {
      const found = parsed(getComputedStyle(at).backgroundColor);
      if (found.length === 3 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const node of document.querySelectorAll("body *:not(svg *):not(script)")) {
    const own = [...node.childNodes].some((one) => one.nodeType === 3 && one.data.trim() !== "");
    if (!own || node.getClientRects().length === 0) continue;
    const both = [luminance(parsed(getComputedStyle(node).color)), luminance(ground(node))];
    const ratio = (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
    if (ratio < 4.5) faint.push(`${node.tagName}.${node.className} ${ratio.toFixed(2)}`);
  }
  return faint;
})()"""


@dataclass
class Seen:
    """A console, and a page of the browser that looks at it."""

    view: Shown
    tab: Tab
    url: str

    async def words(self) -> str:
        return str(await self.tab.tell(TEXT))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    assert PROGRAM is not None
    with chromium.running(PROGRAM, tmp_path_factory.mktemp("chromium")) as address:
        yield address


@pytest.fixture
async def seen(browser: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Seen]:
    """Whatever happens in a test: nothing was asked for elsewhere, and nobody complained."""
    monkeypatch.setattr(console, "TELL_SECONDS", 0.05)
    async with looked_at(browser) as found:
        await found.tab.resize(*WIDE)
        yield found
        assert found.tab.complaints == []
        asked = {urlsplit(one).netloc for one in found.tab.requested if one != "about:blank"}
        assert asked == {urlsplit(found.url).netloc}


@asynccontextmanager
async def looked_at(browser: str) -> AsyncIterator[Seen]:
    view = Shown()
    async with served(view) as session, chromium.tab(browser) as tab:
        yield Seen(view=view, tab=tab, url=str(session._base_url))


async def test_the_page_says_from_the_top_what_a_person_on_call_asks(seen: Seen) -> None:
    seen.view.now = board(
        stored=stored(
            entries=[entry()], timeline=[happened("lease_taken_over", "3", **{"from": "web-2"})]
        )
    )
    await seen.tab.open(seen.url)
    words = await seen.words()
    told = (
        "The copy is complete and current.",
        "The last hour",
        "Read it anew",
        "Hosts",
        "Totals at a glance",
        "bad_price",
        "projector quarantine retry 7",
        "No replay is running.",
        "lease 3 taken over from web-2",
    )
    places = [words.index(one) for one in told]
    assert places == sorted(places)
    assert await seen.tab.tell("document.title") == "Complete and current - projector"
    assert not await seen.tab.tell(OVERFLOWS)


async def test_an_open_page_changes_where_it_stands(seen: Seen) -> None:
    await seen.tab.open(seen.url)
    await seen.tab.until("document.getElementById('live').textContent === 'live'")
    await seen.tab.tell("document.querySelector('#ranges details').open = true")
    await seen.tab.tell("document.querySelector('#ranges summary').focus()")
    await seen.tab.tell("window.before = document.querySelector('#ranges table')")
    part = FillPart(feed_range=HALVES[0], phase=FillPhase.LOADING, documents=5, expected=10)
    seen.view.now = board(
        facts(0, gap_changes=4, lag_seconds=8.0),
        facts(1),
        stored=stored(generations=[generation()], fill_parts=[part]),
    )
    await seen.tab.until(f"{TEXT}.includes('behind, within the limit')")
    assert "5 of about 10" in await seen.words(), "a section that was not there appears"
    same = "document.querySelector('#ranges table') === window.before"
    assert await seen.tab.tell(same)
    assert await seen.tab.tell("document.querySelector('#ranges details').open")
    assert await seen.tab.tell("document.activeElement.tagName") == "SUMMARY"
    assert await seen.tab.tell("document.title") == "Behind - projector"
    seen.view.now = board()
    await seen.tab.until(f"!{TEXT}.includes('5 of about 10')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_can_be_read_in_the_light_and_in_the_dark(seen: Seen, scheme: str) -> None:
    await seen.tab.prefer(prefers_color_scheme=scheme)
    seen.view.now = hostile_board()
    await seen.tab.open(seen.url)
    red = int(str(await seen.tab.tell(f"{GROUND}.match(/\\d+/)[0]")))
    assert (red > 200) if scheme == "light" else (red < 50)
    assert await seen.tab.tell(FAINT) == []


async def test_on_a_telephone_nothing_is_cut_off_and_cells_bear_their_names(seen: Seen) -> None:
    await seen.tab.resize(*NARROW)
    seen.view.now = hostile_board()
    await seen.tab.open(seen.url)
    assert not await seen.tab.tell(OVERFLOWS)
    label = "getComputedStyle(document.querySelector('#ranges td'), '::before').content"
    assert await seen.tab.tell(label) != "none"
    assert await seen.tab.tell("document.querySelector('#ranges td').offsetWidth > 100")


async def test_texts_of_strangers_stay_texts(seen: Seen) -> None:
    await seen.tab.tell("window.alert = () => { throw new Error('run') }")
    seen.view.now = hostile_board()
    await seen.tab.open(seen.url)
    await seen.tab.until("document.getElementById('live').textContent === 'live'")
    seen.view.now = board(stored=stored(entries=[entry(document_id=f"{HOSTILE} again")]))
    await seen.tab.until(f"{TEXT}.includes('again')")
    await seen.tab.open(f"{seen.url.rstrip('/')}/quarantine/7")
    assert "alert(2)" in await seen.words()
    for made in ("img", "script:not([src])", "iframe"):
        assert await seen.tab.tell(f"document.querySelector('{made}') === null")


async def test_without_script_it_is_the_same_page(seen: Seen) -> None:
    await seen.tab.without_script()
    seen.view.now = board(stored=stored(entries=[entry()]))
    await seen.tab.open(seen.url)
    words = await seen.words()
    for told in ("The copy is complete and current.", "carts.cart_items", "bad_price", "Lag"):
        assert told in words
    assert await seen.tab.tell("document.getElementById('live').hidden")
    assert not any(one.endswith("/events") for one in seen.tab.requested)


async def test_a_command_is_copied_by_a_key_and_by_a_click(seen: Seen) -> None:
    seen.view.now = board(stored=stored(entries=[entry()]))
    await seen.tab.open(seen.url)
    code = "document.querySelector('#quarantine code.command')"
    await seen.tab.until(f"{code}.getAttribute('role') === 'button'")
    await seen.tab.tell(f"{code}.focus()")
    await seen.tab.press("Enter", 13)
    done = f"{code}.classList.contains('copied-now') || getSelection().toString().length > 0"
    await seen.tab.until(done)


async def test_whoever_uses_the_keyboard_comes_to_the_content_at_once(seen: Seen) -> None:
    await seen.tab.open(seen.url)
    await seen.tab.press("Tab", 9)
    assert await seen.tab.tell("document.activeElement.hash") == "#main"
    assert await seen.tab.tell("document.activeElement.getBoundingClientRect().left >= 0")
    await seen.tab.press("Enter", 13)
    await seen.tab.until("location.hash === '#main'")
