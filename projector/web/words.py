"""How the console says things: times, counts, verdicts; unknown is said, never shown as 0."""

from __future__ import annotations

import shlex
from datetime import datetime

from projector.core.health import Diagnosis, Health
from projector.core.texts import duration, printable
from projector.web.html import Html, joined, tag

UNKNOWN = tag("span", "unknown", class_="unknown")

SENTENCES = {
    Health.CURRENT: "The copy is complete and current.",
    Health.BEHIND: "The copy is behind.",
    Health.NOT_ADVANCING: "The copy is not advancing.",
    Health.UNKNOWN: "Whether the copy is current is unknown.",
}
WITHIN = "The copy is behind, within the limit."


def sentence(diagnosis: Diagnosis) -> str:
    """Whether the copy is current and complete."""
    if diagnosis.health is Health.BEHIND and diagnosis.healthy:
        return WITHIN
    return SENTENCES[diagnosis.health]


def colour(health: Health, whole: Diagnosis) -> str:
    """The class that colours it: what is behind is calm as long as the whole is within its limit."""
    calm = health is Health.BEHIND and whole.healthy
    return "behind-within" if calm else health.value


def count(value: int | None) -> Html:
    """A number with its thousands apart."""
    return UNKNOWN if value is None else joined(f"{value:,}")


def seconds(value: float | None) -> Html:
    """A length of time."""
    return UNKNOWN if value is None else joined(duration(max(0.0, value)))


def ago(moment: datetime | None, now: datetime, *, never: str = "never") -> Html:
    """How long ago, with the moment itself for whoever asks."""
    if moment is None:
        return joined(never)
    age = max(0.0, (now - moment).total_seconds())
    return tag("time", f"{duration(age)} ago", datetime=moment.isoformat(), title=clock(moment))


def clock(moment: datetime) -> str:
    """The moment, to the second, as UTC."""
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def command(*words: str) -> Html | None:
    """What to type, ready to copy; None for a name that cannot be shown as it is typed."""
    if any(printable(word) != word for word in words):
        return None
    return tag("code", shlex.join(words), class_="command")
