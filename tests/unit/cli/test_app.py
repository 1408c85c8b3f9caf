from __future__ import annotations

import subprocess
import sys

import pytest

from projector.cli.app import run_line


def test_help_names_every_command_and_ends_with_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_line(["--help"]) == 0
    assert "emulator" in capsys.readouterr().out


def test_without_a_command_the_help_is_shown_as_wrong_usage(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_line([]) == 2
    assert "Commands" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["nonsense"], id="unknown command"),
        pytest.param(["emulator", "--nonsense"], id="unknown option"),
        pytest.param(["emulator", "--port", "many"], id="value of the wrong type"),
        pytest.param(["emulator", "--port", "70000"], id="value out of bounds"),
        pytest.param(["emulator", "more"], id="too many arguments"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_two(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run_line(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1


def test_debug_may_stand_anywhere_and_shows_the_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_line(["emulator", "--debug", "--nonsense"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_line(["--version"]) == 0
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("projector lea", "leases"),
        ("projector timeline --si", "--since"),
        ("projector db u", "upgrade"),
    ],
)
def test_what_was_begun_is_completed(
    typed: str,
    offered: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("_PROJECTOR_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))
    with pytest.raises(SystemExit) as ended:
        run_line([])
    assert ended.value.code in (0, None)
    assert offered in capsys.readouterr().out.split()


HEAVY = (
    "aiohttp",
    "alembic",
    "apscheduler",
    "azure",
    "msgspec",
    "psycopg",
    "pydantic_settings",
    "rich",
    "sqlalchemy",
    "structlog",
)
ANSWER = """
import sys
from projector.cli.app import run_line
code = run_line(sys.argv[1:])
print(*sorted(set(sys.modules)), file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize(
    ("line", "code"),
    [
        pytest.param("", 2, id="nothing"),
        pytest.param("--version", 0, id="version"),
        pytest.param("--help", 0, id="help"),
        pytest.param("run --help", 0, id="help of a command"),
        pytest.param("leases --help", 0, id="help of a group"),
        pytest.param("status --jsno", 2, id="unknown option"),
        pytest.param("statsu", 2, id="unknown command"),
        pytest.param("quarantine show twelve", 2, id="not a number"),
    ],
)
def test_no_driver_is_loaded_to_answer(line: str, code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ANSWER, *line.split()], capture_output=True, text=True, check=False
    )

    loaded = set(done.stderr.split("\n")[-2].split())
    assert done.returncode == code
    assert "projector.cli.app" in loaded
    assert [name for name in HEAVY if name in loaded] == []


def test_a_command_about_rebuilds_loads_no_host_before_it_stands_in_for_one() -> None:
    asked = "import sys, projector.cli.rebuild; print('projector.wiring.service' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


OF_ORDERS = """
import sys
from projector.projection import chosen
from tests.orders import ORDERS
chosen.DEFINITION = ORDERS
from projector.cli.app import run_line
sys.exit(run_line(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        pytest.param(
            "explain --help", ("CUSTOMER_ID", "of one customer,", "of the customer."), id="argument"
        ),
        pytest.param("quarantine list --help", ("--customer", "of this customer"), id="option"),
    ],
)
def test_help_names_what_the_definition_names(line: str, words: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OF_ORDERS, *line.split()],
        capture_output=True,
        text=True,
        check=True,
    )

    assert [word for word in words if word not in done.stdout] == []
    assert "cart" not in done.stdout.lower()
