from __future__ import annotations

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
