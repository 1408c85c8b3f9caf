"""Whatever the pages and the files of `deploy/` tell to type exists, with the options that it is given."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from projector.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "README.md",
        ROOT / "SECURITY.md",
        *(path for path in (ROOT / "deploy").rglob("*") if path.suffix in {".yml", ".yaml"}),
        ROOT / "deploy" / "grafana" / "projector.json",
    ]
)
ANY_COMMAND = "COMMAND"
PROGRAM = re.compile(r"(?:\S*/)?projector\Z")


def commands_in(text: str) -> Iterator[str]:
    """Lines of blocks and pieces in backticks that begin with the program."""
    for language, block in re.findall(
        r"^```(console|sh|bash)\n(.*?)^```", text, re.MULTILINE | re.DOTALL
    ):
        yield from (line for line in block.replace("\\\n", " ").splitlines() if language)
    bare = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"`(projector [^`\n]+)`", bare)
    yield from re.findall(r"runbook: \".*?: (projector [^\"]+)\"", text)


def arguments_of(line: str) -> list[str] | None:
    """What is behind the program's name, without what the shell does with it; None: another program."""
    try:
        words = shlex.split(re.split(r"\s[|>&]|\s#|;", line)[0])
    except ValueError:
        return None
    words = words[next((n for n, word in enumerate(words) if "=" not in word), 0) :]
    if not words or PROGRAM.match(words[0]) is None:
        return None
    return words[1:]


def fault_of(arguments: list[str]) -> str | None:
    """What the command line would refuse; what an option or argument is given is not looked at."""
    command: Any = get_command(app)
    name, words = "projector", list(arguments)
    while (known := getattr(command, "commands", None)) and words and words[0][0] != "-":
        if words[0] == ANY_COMMAND:
            return None
        if words[0] not in known:
            return f"there is no command {words[0]}"
        name, command = f"{name} {words[0]}", known[words.pop(0)]
    if command.context_settings.get("ignore_unknown_options"):
        return None
    return _fault_in(name, command, words)


def _fault_in(name: str, command: Any, words: list[str]) -> str | None:
    flags = {"--help": True, "--version": True}
    options = [one for one in command.params if one.param_type_name == "option"]
    for option in options:
        flags |= dict.fromkeys((*option.opts, *option.secondary_opts), option.is_flag)
    places = len(command.params) - len(options)
    while words:
        word, given, _value = words.pop(0).partition("=")
        if word[0] != "-":
            places -= 1
            if places < 0:
                return f"{name} takes no {word}"
        elif word not in flags:
            return f"{name} has no option {word}"
        elif not flags[word] and not given and words:
            words.pop(0)
    return None


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_command_in_a_page_exists_with_its_options(path: Path) -> None:
    faults = {
        line: fault
        for line in commands_in(path.read_text("utf-8"))
        if (arguments := arguments_of(line)) is not None
        and (fault := fault_of(arguments)) is not None
    }
    assert faults == {}


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("projector leases rest --yes", "there is no command rest"),
        ("projector leases reset --really", "projector leases reset has no option --really"),
        ("projector status 0", "projector status takes no 0"),
        ("projector leases reset --range TOKEN --yes", None),
        ("PROJECTOR_WEB_PORT=0 .venv/bin/projector run --until-caught-up | tee log", None),
        ("kubectl get pods", None),
        ("projector quarantine show ID", None),
        ("projector psql -c 'SELECT 1'", None),
    ],
)
def test_a_command_that_does_not_exist_is_noticed(line: str, fault: str | None) -> None:
    arguments = arguments_of(line)
    assert (None if arguments is None else fault_of(arguments)) == fault


def test_most_pages_on_what_to_do_tell_what_to_type() -> None:
    told = [
        line
        for path in PAGES
        if "howto" in path.parts
        for line in commands_in(path.read_text("utf-8"))
        if arguments_of(line) is not None
    ]
    assert len(told) > 50
