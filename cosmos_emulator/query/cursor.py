"""A place in the token list: look, take, or refuse with one clear line.

Nesting is bounded here: whatever the text, the parser and everything that walks its tree stay
far below Python's recursion limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from cosmos_emulator.query.budget import spend
from cosmos_emulator.query.errors import QueryError
from cosmos_emulator.query.lexer import Kind, Token, tokenize

_DEEPEST: Final = 150
_UNSUPPORTED: Final = frozenset({"HAVING", "UNION", "CASE", "WHEN", "RANK", "ALL", "LET", "CROSS"})


class Cursor:
    """Reads tokens from left to right."""

    def __init__(self, text: str) -> None:
        self._tokens = tokenize(text)
        self._index = 0
        self._depth = 0

    @property
    def token(self) -> Token:
        """The next token, not yet taken."""
        return self._tokens[self._index]

    @property
    def following(self) -> Token:
        """The token after the next."""
        return self._tokens[min(self._index + 1, len(self._tokens) - 1)]

    def take(self) -> Token:
        """Takes the next token; END is never passed."""
        token = self.token
        if token.kind is not Kind.END:
            self._index += 1
            spend()
        return token

    def at_keyword(self, *words: str) -> bool:
        """Whether the next token is one of these keywords."""
        return self.token.kind is Kind.KEYWORD and self.token.text in words

    def at_symbol(self, symbol: str) -> bool:
        """Whether the next token is this symbol."""
        return self.token.kind is Kind.SYMBOL and self.token.text == symbol

    def accept_keyword(self, word: str) -> bool:
        """Takes the keyword if it is next."""
        return self.at_keyword(word) and bool(self.take())

    def accept_symbol(self, symbol: str) -> bool:
        """Takes the symbol if it is next."""
        return self.at_symbol(symbol) and bool(self.take())

    def expect_keyword(self, word: str) -> Token:
        """Takes the keyword or refuses."""
        if not self.at_keyword(word):
            raise self.refusal(f"expected {word}")
        return self.take()

    def expect_symbol(self, symbol: str) -> Token:
        """Takes the symbol or refuses."""
        if not self.at_symbol(symbol):
            raise self.refusal(f"expected '{symbol}'")
        return self.take()

    def expect_name(self, what: str) -> Token:
        """Takes an identifier or refuses; a reserved word is refused with the remedy."""
        if self.token.kind is Kind.KEYWORD:
            word = self.token.value
            raise self.refusal(f"'{word}' is a reserved word (a property is written [\"{word}\"])")
        if self.token.kind is not Kind.NAME:
            raise self.refusal(f"expected {what}")
        return self.take()

    def expect_end(self) -> None:
        """Refuses unless every token was taken."""
        if self.token.kind is not Kind.END:
            raise self.refusal("expected the end of the query")

    @contextmanager
    def nested(self) -> Iterator[None]:
        """One level deeper while it lasts."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise QueryError("The query is nested too deeply", position=self.token.position)
        yield
        self._depth -= 1

    def refusal(self, expectation: str) -> QueryError:
        """The error to raise about the next token."""
        for word in self._tokens[max(self._index - 1, 0) : self._index + 1]:
            if word.kind is Kind.NAME and word.text.upper() in _UNSUPPORTED:
                return QueryError(f"{word.text.upper()} is not supported", position=word.position)
        token = self.token
        near = f"near '{token.text[:40]}'" if token.text else f"at the {Kind.END}"
        return QueryError(f"Syntax error {near}: {expectation}", position=token.position)
