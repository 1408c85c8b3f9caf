"""What a query can be refused for: one clear line that names the thing and where it stands.

The HTTP side answers it as 400. Nothing else leaves this package for a bad query text.
"""

from __future__ import annotations


class QueryError(Exception):
    """A query that cannot be run: a syntax error or a feature that is not supported.

    Attributes:
        message: one line for the person who wrote the query, position included.
        position: where in the text it was noticed, in characters from 0; None when it concerns
            the query as a whole.
    """

    def __init__(self, message: str, *, position: int | None = None) -> None:
        self.message = message if position is None else f"{message} (at position {position})"
        self.position = position
        super().__init__(self.message)
