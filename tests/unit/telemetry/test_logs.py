from __future__ import annotations

import io
import json
import logging
import re

import pytest
import structlog

from projector.core.secrets import conceal
from projector.telemetry.logs import LogFormat, configure_logging


def logged(style: LogFormat, *, level: str = "info") -> str:
    out = io.StringIO()
    configure_logging(style=style, level=level, stream=out)
    log = structlog.get_logger("test")
    log.debug("too_fine")
    log.info("range_waiting", lease="0", error='said "no"')
    logging.getLogger("library").warning("from a %s", "library")
    logging.getLogger("library").info("chatter")
    logging.getLogger("azure.core").warning("chatter")
    return out.getvalue()


def test_json_is_one_object_a_line() -> None:
    lines = [json.loads(line) for line in logged("json").splitlines()]
    assert [line["event"] for line in lines] == ["range_waiting", "from a library"]
    assert lines[0]["lease"] == "0"
    assert lines[0]["level"] == "info"
    assert lines[0]["timestamp"].endswith("Z")


@pytest.mark.parametrize("style", ["logfmt", "auto"])
def test_without_a_terminal_lines_are_key_value(style: LogFormat) -> None:
    first, second = logged(style).splitlines()
    assert 'event=range_waiting lease=0 error="said \\"no\\""' in first
    assert 'event="from a library"' in second


def test_the_console_style_is_for_people() -> None:
    assert "range_waiting" in logged("console")


def test_the_level_is_kept() -> None:
    assert "too_fine" in logged("logfmt", level="debug")
    assert "range_waiting" not in logged("logfmt", level="warning")


@pytest.mark.parametrize("style", ["console", "logfmt", "json"])
def test_a_strangers_text_forges_no_line_and_steers_no_terminal(style: LogFormat) -> None:
    out = io.StringIO()
    configure_logging(style=style, level="info", stream=out)
    hostile = "x\nevent=forged \x1b[2J\x9b\u202e\u2028\r\ud800"

    structlog.get_logger("test").info("lease_met", owner=hostile, owners=[hostile])
    logging.getLogger("library").warning("met %s", hostile)

    lines = out.getvalue().rstrip("\n").split("\n")
    assert len(lines) == 2
    for line in lines:
        left = re.sub(r"\x1b\[[0-9;]*m", "", line)  # the colours of the console are ours
        assert left.isprintable()


@pytest.mark.parametrize("style", ["json", "logfmt", "console"])
def test_no_line_shows_a_secret_whoever_logs_it(style: LogFormat) -> None:
    out = io.StringIO()
    conceal(['hush "hush"'])
    configure_logging(style=style, level="info", stream=out)
    fields = {"a": 'x hush "hush"', "b": ['hush "hush"'], "c": b'hush "hush"'}
    for log in (structlog.get_logger("ours").error, logging.getLogger("theirs").error):
        try:
            raise RuntimeError('connecting with hush "hush"')  # noqa: TRY301 - its traceback
        except RuntimeError:
            log("range_failed", exc_info=True)
    structlog.get_logger("ours").info("range_failed", **fields)
    logging.getLogger("theirs").error("with %s and %r", 'hush "hush"', fields)
    assert "hush" not in out.getvalue()
    assert "Traceback" in out.getvalue()
