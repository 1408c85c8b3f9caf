"""Regular expressions that no pattern and no text makes run away: a match costs its length times the text's.

Python's own parser reads the pattern and its own matcher tells which characters fit; what runs is a set of
places in the pattern, moved on by one character at a time, so that nothing is ever tried twice. What that
cannot do, looking around and back references, is refused.
"""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

from cosmos_emulator.query.budget import spend
from cosmos_emulator.query.errors import QueryError

# Not public, but the only thing that reads patterns exactly as `re` does; a test holds both together.
_PARSER: Final = importlib.import_module("re._parser")
_COMPILER: Final = importlib.import_module("re._compiler")

_FLAGS: Final = {"m": re.MULTILINE, "s": re.DOTALL, "i": re.IGNORECASE, "x": re.VERBOSE}
_LONGEST_PATTERN: Final = 4_096
_MOST_PLACES: Final = 4_000
_MOST_KNOWN: Final = 10_000
_CHARACTERS_A_STEP: Final = 32
_PLACES_A_STEP: Final = 8

_Places = frozenset[int]
_Around = tuple[
    str, str, bool
]  # the characters before and after a place, and whether no more follows


def found(text: str, pattern: str, modifiers: str) -> bool:
    """Whether the pattern matches anywhere in the text.

    Raises:
        QueryError: the pattern cannot be read, or asks for what is not supported.
    """
    return _automaton(pattern, modifiers).found(text)


@lru_cache(maxsize=64)
def _automaton(pattern: str, modifiers: str) -> _Automaton:
    if len(pattern) > _LONGEST_PATTERN:
        raise QueryError(f"REGEXMATCH takes at most {_LONGEST_PATTERN:,} characters of pattern")
    flags = re.RegexFlag(0)
    for modifier in modifiers:
        flags |= _FLAGS[modifier]
    try:
        with warnings.catch_warnings():  # what Python may read otherwise one day is a pattern today
            warnings.simplefilter("ignore")
            return _Automaton(pattern, flags)
    except (re.error, RecursionError, OverflowError) as error:
        raise QueryError(f"REGEXMATCH cannot read the pattern {pattern[:60]!r}") from error


class _Automaton:
    """The places of a pattern, and where each character leads from them."""

    def __init__(self, pattern: str, flags: re.RegexFlag) -> None:
        tree = _PARSER.parse(pattern, int(flags))
        self._state = tree.state
        self._flags = tree.state.flags
        self._forks: dict[int, tuple[int, ...]] = {}
        self._conditions: dict[int, tuple[str, int]] = {}
        self._characters: dict[int, tuple[re.Pattern[str], int]] = {}
        self._count = 0
        self._end = self._place()
        self._start = self._sequence(tree, self._end, self._flags)
        self._known: dict[tuple[_Places, str, str, bool], tuple[bool, _Places]] = {}

    def found(self, text: str) -> bool:
        """Whether the pattern matches anywhere in the text."""
        places: _Places = frozenset([self._start])
        before, last = "", len(text) - 1
        for index, character in enumerate(text):
            if index % _CHARACTERS_A_STEP == 0:
                spend()
            key = places, before, character, index == last
            known = self._known.get(key)
            if known is None:
                known = self._step(*key)
            if known[0]:
                return True
            before, places = character, known[1]
        return self._end in self._closure(places, (before, "", True))

    def _step(
        self,
        places: _Places,
        before: str,
        character: str,
        is_last: bool,  # noqa: FBT001  private
    ) -> tuple[bool, _Places]:
        reached = self._closure(places, (before, character, is_last))
        spend(1 + len(reached) // _PLACES_A_STEP)
        after = {self._start}
        for place in reached:
            fits, following = self._characters.get(place, (None, 0))
            if fits is not None and fits.match(character):
                after.add(following)
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        step = self._end in reached, frozenset(after)
        self._known[places, before, character, is_last] = step
        return step

    def _closure(self, places: Iterable[int], around: _Around) -> set[int]:
        """The places with all that are reached from them without a character."""
        reached, waiting = set(places), list(places)
        while waiting:
            place = waiting.pop()
            following = self._forks.get(place, ())
            if place in self._conditions:
                kind, after = self._conditions[place]
                following = (after,) if _holds(kind, around) else ()
            for each in following:
                if each not in reached:
                    reached.add(each)
                    waiting.append(each)
        return reached

    def _place(self) -> int:
        if self._count >= _MOST_PLACES:
            raise QueryError("The pattern of REGEXMATCH repeats too much")
        self._count += 1
        return self._count

    def _fork(self, following: Iterable[int]) -> int:
        place = self._place()
        self._forks[place] = tuple(following)
        return place

    def _sequence(self, items: Iterable[Any], after: int, flags: int) -> int:
        for item in reversed(list(items)):
            after = self._item(item, after, flags)
        return after

    def _item(self, item: tuple[Any, Any], after: int, flags: int) -> int:
        """The place before an item of the pattern, `after` being the one behind it."""
        kind, detail = str(item[0]), item[1]
        match kind:
            case "LITERAL" | "NOT_LITERAL" | "ANY" | "IN":
                place = self._place()
                self._characters[place] = self._character(item, flags), after
                return place
            case "BRANCH":
                return self._fork([self._sequence(each, after, flags) for each in detail[1]])
            case "SUBPATTERN" if not detail[2]:
                return self._sequence(detail[3], after, flags | detail[1])
            case "MAX_REPEAT" | "MIN_REPEAT":
                least, most, items = detail
                return self._repeat(least, most, items, after, flags)
            case "AT":
                place = self._place()
                multiline = "_LINE" if flags & re.MULTILINE else ""
                self._conditions[place] = f"{detail}{multiline}", after
                return place
            case _:
                name = kind.lower().replace("_", " ")
                raise QueryError(f"REGEXMATCH does not support this part of the pattern: {name}")

    def _character(self, item: tuple[Any, Any], flags: int) -> re.Pattern[str]:
        single = _PARSER.SubPattern(self._state, [item])
        compiled: re.Pattern[str] = _COMPILER.compile(single, flags)
        return compiled

    def _repeat(self, least: int, most: Any, items: Any, after: int, flags: int) -> int:
        if most == _PARSER.MAXREPEAT:
            loop = self._place()
            self._forks[loop] = (self._sequence(items, loop, flags), after)
            start = loop
        else:
            start = after
            for _ in range(most - least):
                start = self._fork([self._sequence(items, start, flags), after])
        for _ in range(least):
            start = self._sequence(items, start, flags)
        return start


def _holds(kind: str, around: _Around) -> bool:
    before, after, is_last = around
    match kind.removesuffix("_LINE"):
        case "AT_BEGINNING":
            return not before or (kind.endswith("_LINE") and before == "\n")
        case "AT_BEGINNING_STRING":
            return not before
        case "AT_END":
            return not after or (after == "\n" and (is_last or kind.endswith("_LINE")))
        case "AT_END_STRING":
            return not after
        case "AT_BOUNDARY":
            return _is_word(before) != _is_word(after)
        case _:
            return _is_word(before) == _is_word(after)


def _is_word(character: str) -> bool:
    return character == "_" or character.isalnum()
