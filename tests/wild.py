"""Ids and texts that the service accepts and something on the way may not.

Taken for ids, cart ids and items wherever a test makes documents of its own. All are good: not empty,
at most 1,023 characters and 1,024 bytes, without NUL and lone surrogates.
"""

from __future__ import annotations

from typing import Final

PLAIN: Final = ("a", "b", "5", "A", "a b", "line-1", "3f2504e0-4f89-41d3-9a0c-0305e82c3301")
"""What others of these turn into when they are cut, folded or decoded."""

ODD_IN_URLS: Final = (
    *(
        "a/b",
        "a/",
        "/a",
        "/",
        "a//b",
        "a/../b",
        "a\\b",
        "\\5",
        '\\"a"',
        "\\",
        "a?b",
        "?",
        "a#b",
        "#",
    ),
    *("a ", " a", " ", "a\t", "a\n", "a\u00a0", "a\u3000", ".", "..", "a.", "...", ";a", "a;b"),
)
"""Ids that a URL does not carry for certain."""

ESCAPES: Final = (
    *(
        "%2F",
        "a%20",
        "%61",
        "%",
        "%%",
        "%00",
        "a+b&c=d",
        "&amp;",
        "\\u0061",
        "${a}",
        "%(a)s",
        "{0}",
    ),
    *(
        "a'b",
        "a''b",
        'a"b',
        "';--",
        "a,b",
        "{a}",
        "[a]",
        "(a)",
        "NULL",
        "null",
        "0",
        "-0",
        "1e5",
        "{}",
    ),
)
"""Texts that some notation reads in another way: URL, JSON, SQL, arrays, formats."""

ON_SCREENS: Final = (
    *(
        "[/x]",
        "[bold]a[/bold]",
        "\x1b[31ma",
        "\x1b]8;;http://a\x1b\\a",
        "a\rb",
        "a\nb",
        "\x07",
        "\x7f",
    ),
    *("\x01", "\u202ea", "\u200ba", "\u2028", "\ufeffa", "https://example.com/a?b#c"),
)
"""Texts that a terminal or a log would act on."""

IN_UNICODE: Final = (
    *("\u00e9", "e\u0301", "\u00df", "ss", "\u0130", "\u0131", "\u00c4pfel", "\u0430", "\u2603"),
    *("\U0001f6d2", "\uffff", "\ue000", "\U0010ffff", "x" * 255, "\u00e9" * 500),
)
"""Texts that are told apart by their bytes alone, and long ones."""

IDS: Final = (*PLAIN, *ODD_IN_URLS, *ESCAPES, *ON_SCREENS, *IN_UNICODE)
"""Ids, cart ids or items: all of them."""
