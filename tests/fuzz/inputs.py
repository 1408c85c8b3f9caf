"""Inputs that nobody would write: random JSON, and sound bytes damaged a little."""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable

from tests import wild

FRAGMENTS = [
    *(b"{", b"}", b"[", b"]", b'"', b":", b",", b"\\", b"\x00", b"\xff", b"\xed\xa0\x80", b"\n"),
    *(
        b"NaN",
        b"-Infinity",
        b"1e400",
        b"1e-99999",
        b"-0.0",
        b"9" * 40,
        b"null",
        b"true",
        b"1.",
        b"e5",
    ),
    *(
        b"\\u0000",
        b"\\ud800",
        b"\\udc00",
        b"\\ud83d\\ude00",
        b"\\q",
        b"\\\\",
        b"\xc3\xa9",
        b"\xf0\x9f\x98\x80",
    ),
    *(
        b'"id":',
        b'"cartId":',
        b'"ttl":5,',
        b'"_lsn":9}',
        b'"_lsn":9},{',
        b'],"x":1',
        b"[[[[",
        b'{"a":[{',
    ),
    *(b"[" * 200, b'{"a":' * 200, b" " * 50, b"x" * 2000),
]
TEXTS = [
    "",
    "a",
    "cart-1",
    "é",
    "😀",
    "\0",
    '"',
    "\\",
    "x" * 1100,
    "EUR",
    "eur",
    "19.99",
    "1e5",
    "60",
    *wild.IDS,
]
NUMBERS = ["0", "1", "-1", "-0", "-0.0", "2.50", "1e2", "1e400", "1e-400", "60", "3.0"]
NUMBERS += ["9" * 18, "9" * 19, "9" * 40, "0.1234567891", "0.12345678912", "1e131072"]
NUMBERS += ["1e1999", "1e2000", "1e-2000", "1e-2001", "9" * 2001, "1.5E+300"]
MAX_DEPTH = 4


def json_text(rng: random.Random, names: list[str], depth: int = 0) -> str:
    """One JSON value as text; objects draw their names from `names` and sometimes from elsewhere."""
    kind = rng.randrange(8 if depth < MAX_DEPTH else 6)
    if kind < 2:
        return json_string(rng)
    if kind < 4:
        return rng.choice(NUMBERS)
    if kind < 6:
        return rng.choice(["null", "true", "false"])
    parts = [json_text(rng, names, depth + 1) for _ in range(rng.randrange(4))]
    if kind == 6:
        return f"[{','.join(parts)}]"
    keys = [rng.choice(names) if rng.random() < 0.8 else rng.choice(TEXTS) for _ in parts]
    return f"{{{','.join(f'{quoted(k)}:{v}' for k, v in zip(keys, parts, strict=True))}}}"


def json_string(rng: random.Random) -> str:
    """A JSON string, at times with a lone surrogate."""
    text = quoted(rng.choice(TEXTS))
    return text[:-1] + '\\ud83d"' if rng.random() < 0.03 else text


def quoted(text: str) -> str:
    """A text as JSON."""
    return json.dumps(text, ensure_ascii=False)


def damaged(rng: random.Random, raw: bytes) -> bytes:
    """The bytes with a few of them flipped, cut out, doubled, or strange ones put in."""
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        at, length = rng.randrange(len(raw) + 1), rng.choice([1, 1, 2, 10, 50])
        kind = rng.randrange(5)
        if kind == 0:
            raw = raw[:at] + bytes([rng.randrange(256)]) + raw[at + 1 :]
        elif kind == 1:
            raw = raw[:at] + raw[at + length :]
        elif kind == 2:
            raw = raw[:at] + raw[at : at + length] + raw[at:]
        else:
            raw = raw[:at] + rng.choice(FRAGMENTS) + raw[at:]
    return raw


def run(check: Callable[[random.Random], None], inputs: int, seed: int) -> int:
    """Check so many inputs; the number of those that failed, each printed with its own seed."""
    failures = 0
    started = time.perf_counter()
    for number in range(inputs):
        try:
            check(random.Random(f"{seed}/{number}"))
        except Exception as error:  # noqa: BLE001 - anything is a finding
            failures += 1
            sys.stdout.write(f"seed {seed}/{number}: {type(error).__name__}: {str(error)[:300]}\n")
    seconds = time.perf_counter() - started
    sys.stdout.write(f"{inputs:,} inputs, seed {seed}, {failures} failures, {seconds:.1f} s\n")
    return failures


def main(check: Callable[[random.Random], None], description: str) -> None:
    """The command line of a fuzzer: `--inputs`, `--seed`, and `--only` for one input again."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", metavar="SEED/NUMBER", help="check this input alone")
    options = parser.parse_args()
    if options.only:
        check(random.Random(options.only))
        return
    sys.exit(bool(run(check, options.inputs, options.seed)))
