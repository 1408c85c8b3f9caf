"""Cuts a query text into tokens. Knows keywords, not grammar.

Keywords are case-insensitive and reserved: a property with such a name is written `c["order"]`,
as the service demands. Comments run from `--` to the end of the line or stand in `/* */`.
"""

from __future__ import annotations

import math
import re
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from cosmos_emulator.query.budget import spend
from cosmos_emulator.query.errors import QueryError

_KEYWORDS = """AND ARRAY AS ASC BETWEEN BY DESC DISTINCT ESCAPE EXISTS FALSE FROM GROUP IN JOIN LIKE
    LIMIT NOT NULL OFFSET OR ORDER SELECT TOP TRUE UDF UNDEFINED VALUE WHERE"""
KEYWORDS: Final = frozenset(_KEYWORDS.split())

_LONGEST_QUERY: Final = 512 * 1024
_TOKEN: Final = re.compile(
    r"""(?P<space>\s+|--[^\n]*|/\*.*?\*/)
    |(?P<number>0[xX][0-9a-fA-F]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    |(?P<word>[A-Za-z_][A-Za-z_0-9]*)
    |(?P<parameter>@[A-Za-z_0-9]+)
    |(?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    |(?P<symbol>>>>|<<|>>|<=|>=|!=|<>|\|\||\?\?|[=<>+\-*/%?:,.()\[\]{}&|^~])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"} | {c: c for c in "\"'\\/"}


class Kind(StrEnum):
    """What a token is."""

    KEYWORD = "keyword"
    NAME = "name"
    PARAMETER = "parameter"
    NUMBER = "number"
    STRING = "string"
    SYMBOL = "symbol"
    END = "end of the query"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One token: keywords and symbols by `text` (keywords upper-case), literals by `value`."""

    kind: Kind
    text: str
    position: int
    value: Any = None


def tokenize(text: str) -> list[Token]:
    """The tokens of the text, an END token last.

    Raises:
        QueryError: a character that starts no token, or a literal that is not one.
    """
    if len(text) > _LONGEST_QUERY:
        raise QueryError(
            f"A query has at most {_LONGEST_QUERY:,} characters, this one {len(text):,}"
        )
    tokens: list[Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise QueryError(_stray(text[position]), position=position)
        if match.lastgroup != "space":
            tokens.append(_token(match))
        position = match.end()
        spend()
    tokens.append(Token(kind=Kind.END, text="", position=len(text)))
    return tokens


def _stray(character: str) -> str:
    if character in "'\"":
        return "Syntax error: a string is not closed"
    return f"Syntax error: unexpected character {character!r}"


def _token(match: re.Match[str]) -> Token:
    text, position = match.group(), match.start()
    match match.lastgroup:
        case "word" if text.upper() in KEYWORDS:
            return Token(kind=Kind.KEYWORD, text=text.upper(), position=position, value=text)
        case "word":
            return Token(kind=Kind.NAME, text=text, position=position)
        case "parameter":
            return Token(kind=Kind.PARAMETER, text=text, position=position)
        case "number":
            value = _number(text, match)
            return Token(kind=Kind.NUMBER, text=text, position=position, value=value)
        case "string":
            unquoted = _unquoted(text, position)
            return Token(kind=Kind.STRING, text=text, position=position, value=unquoted)
        case _:
            return Token(kind=Kind.SYMBOL, text="!=" if text == "<>" else text, position=position)


def _number(text: str, match: re.Match[str]) -> float:
    following = match.string[match.end() : match.end() + 1]
    if following == "_" or following.isalnum():
        raise QueryError(f"Syntax error near '{text}{following}'", position=match.start())
    value: float = math.inf
    with suppress(ValueError, OverflowError):  # more digits than Python converts, or a float holds
        value = int(text, 0) if text[:2] in {"0x", "0X"} else _decimal(text)
        value = math.inf if math.isinf(value) else value
    if value == math.inf:
        raise QueryError("A number in the query is too large", position=match.start())
    return value


def _decimal(text: str) -> float:
    return int(text) if text.isdigit() else float(text)


def _unquoted(text: str, position: int) -> str:
    body = text[1:-1]
    if "\\" not in body:
        return body

    def replacement(match: re.Match[str]) -> str:
        code = match.group(1)
        if len(code) > 1:
            return chr(int(code[1:], 16))
        if code not in _ESCAPES:
            where = position + 1 + match.start()
            raise QueryError(f"Syntax error: unknown escape '\\{code}' in a string", position=where)
        return _ESCAPES[code]

    plain = _ESCAPE.sub(replacement, body)
    # Two escaped surrogate halves are one character, as in JSON.
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
