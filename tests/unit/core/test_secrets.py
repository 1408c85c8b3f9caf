"""Concealed values are in no text, whatever form a library gives them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projector.core import secrets
from projector.core.errors import SinkUnavailable
from projector.core.secrets import MASK, WORD, conceal, scrubbed


@given(secret=st.text(min_size=WORD, max_size=40), before=st.text(), after=st.text())
def test_a_secret_is_in_no_text_plain_or_written_by_a_library(
    secret: str, before: str, after: str
) -> None:
    secrets._patterns.clear()
    conceal([secret])
    text = f"{before}{secret}{after}"
    assert MASK in scrubbed(text)
    for written in (json.dumps(text), repr(text), repr({"url": text.encode(errors="replace")})):
        assert written.count(MASK) <= scrubbed(written).count(MASK)
    assert scrubbed(json.dumps(secret)) == f'"{MASK}"'


@pytest.mark.parametrize(
    ("secret", "text", "shown"),
    [
        ("p@ss wörd", "url postgresql://u:p%40ss%20w%C3%B6rd@h", "url postgresql://u:***@h"),
        ('a"b\\c"d', '{"password": "a\\"b\\\\c\\"d"}', '{"password": "***"}'),
        ("cart", "carts.cart_items of cart", "carts.cart_items of ***"),
        ("ab", "ab", "ab"),
        ("projector", "projector run", "projector run"),
        ("shop", "user shop", "user shop"),
    ],
)
def test_short_secrets_and_names_do_not_blank_the_words_of_a_line(
    secret: str, text: str, shown: str
) -> None:
    conceal([secret], public=["shop"])
    assert scrubbed(text) == shown


def test_the_longest_is_cut_out_whole() -> None:
    conceal(["secret", "secret-and-more"])
    assert scrubbed("a secret-and-more b") == f"a {MASK} b"


def test_no_error_of_ours_repeats_a_secret() -> None:
    conceal(["hush-hush"])
    assert str(SinkUnavailable("no hush-hush here")) == f"no {MASK} here"
