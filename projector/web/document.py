"""The console's other pages: the frame of all of them, a quarantined document, the way in."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from projector.ports.console import Board
from projector.ports.quarantine import EntryStatus, QuarantinedDocument, QuarantineEntry
from projector.web import words
from projector.web.html import Html, joined, tag
from projector.web.page import parts, title
from projector.web.sections import commands_for

MOST_CHARACTERS = 100_000

HEADINGS: Mapping[str, str | None] = {
    "plots": "The last hour",
    "ranges": "Ranges",
    "hosts": "Hosts",
    "totals": "Totals at a glance",
    "quarantine": "Quarantine",
    "replays": "Replays",
    "rebuild": None,
    "housekeeping": "Verification and housekeeping",
    "timeline": "Timeline",
}
"""Each part below the figures, with its heading."""


def framed(name: str, *inside: object, live: bool = False) -> str:
    """A whole document."""
    script = tag("script", src="/console.js", defer=True) if live else None
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", name),
        tag("link", rel="icon", href="/console.svg", type="image/svg+xml"),
        tag("link", rel="stylesheet", href="/console.css"),
        script,
    )
    body = tag("body", tag("a", "To the content", href="#main", class_="skip"), *inside)
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def console(board: Board) -> str:
    """The page."""
    told = parts(board)
    return framed(
        title(board),
        tag(
            "header",
            tag("div", tag("h1", "projector"), tag("p", board.copied, class_="copied")),
            tag(
                "p",
                tag("span", told["asof"], id="asof"),
                tag("span", id="live", class_="live", hidden=True),
                class_="asof",
            ),
        ),
        tag(
            "main",
            *(tag("div", told[name], id=name) for name in ("verdict", "figures")),
            *(_part(name, heading, told[name]) for name, heading in HEADINGS.items()),
            id="main",
        ),
        _footer(board),
        live=True,
    )


def _part(name: str, heading: str | None, inside: Html) -> Html:
    """A section; without a heading what is inside brings its own, when there is anything."""
    if heading is None:
        return tag("div", inside, id=name)
    return tag(
        "section",
        tag("h2", heading, id=f"{name}-heading"),
        tag("div", inside, id=name, class_="scroll"),
        aria_labelledby=f"{name}-heading",
        class_=name,
    )


def _footer(board: Board) -> Html:
    return tag(
        "footer",
        tag("p", f"projector {board.version} on {board.instance}. This page only looks."),
        tag(
            "p",
            joined(
                *(
                    joined(tag("a", name, href=f"/{name}"), " ")
                    for name in ("livez", "readyz", "metrics")
                )
            ),
        ),
    )


def quarantined(found: QuarantinedDocument) -> str:
    """A document that could not be projected, as it came."""
    entry = found.entry
    raw = _decoded(found.raw)
    indented = _indented(found.raw)
    last_good = None
    if found.last_good is not None:
        last_good = joined(tag("h2", "The last good row"), _shown(found.last_good))
    can_act = entry.status is not EntryStatus.CLOSED
    return framed(
        f"Quarantine {entry.id} - projector",
        tag("header", tag("div", tag("h1", f"Quarantine, entry {entry.id}"), _back())),
        tag(
            "main",
            tag(
                "div",
                tag("p", entry.reason, class_="sentence"),
                tag("p", entry.detail, class_="reason"),
                class_="verdict behind",
            ),
            _facts(entry),
            tag("h2", "What to type") if can_act else None,
            tag("div", commands_for(entry), class_="commands") if can_act else None,
            tag("h2", f"The document, {len(found.raw):,} bytes"),
            _shown(raw if indented is None else indented),
            None if indented is None else tag("details", tag("summary", "As it came"), _shown(raw)),
            last_good,
            id="main",
            class_="document",
        ),
    )


def _decoded(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _indented(raw: bytes) -> str | None:
    """The same tokens on lines of their own; None for what is no JSON."""
    try:
        return _decoded(msgspec.json.format(raw, indent=2))
    except (msgspec.MsgspecError, RecursionError):
        return None


def _facts(entry: QuarantineEntry) -> Html:
    told = {
        "Partition key": entry.partition_key,
        "Document": entry.document_id,
        "Status": entry.status,
        "Refused by PostgreSQL with": entry.sqlstate,
        "Times": f"{entry.count:,}",
        "First seen": words.clock(entry.first_seen_at),
        "Last seen": words.clock(entry.last_seen_at),
        "Version": f"_lsn {entry.lsn}, _etag {entry.etag}",
    }
    return tag(
        "dl",
        *(joined(tag("dt", name), tag("dd", value)) for name, value in told.items() if value),
        class_="facts",
    )


def _shown(text: str) -> Html:
    """The text line by line, so that its own line breaks are those of the page."""
    cut = text[:MOST_CHARACTERS]
    lines = [joined(line.expandtabs(4), Html("\n")) for line in cut.split("\n")]
    rest = len(text) - len(cut)
    return joined(
        tag("pre", *lines, tabindex="0"),
        tag("p", f"and {rest:,} characters more") if rest else None,
    )


def _back() -> Html:
    return tag("p", tag("a", "Back to the console", href="/"))


def login(*, wrong: bool = False) -> str:
    """The form that asks for the token."""
    return framed(
        "Sign in - projector",
        tag("header", tag("h1", "projector")),
        tag(
            "main",
            tag(
                "form",
                tag("p", "That is not the token.", class_="error", role="alert") if wrong else None,
                tag("label", "Token (PROJECTOR_WEB_TOKEN)", for_="token"),
                tag(
                    "input",
                    type="password",
                    name="token",
                    id="token",
                    required=True,
                    autocomplete="current-password",
                    autofocus=True,
                ),
                tag("button", "Sign in", type="submit"),
                method="post",
                action="/login",
                class_="login",
            ),
            id="main",
        ),
    )


def message(heading: str, line: str) -> str:
    """A page with one line."""
    return framed(
        f"{heading} - projector",
        tag("header", tag("h1", "projector")),
        tag("main", tag("h2", heading), tag("p", line), _back(), id="main"),
    )
