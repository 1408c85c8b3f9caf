from __future__ import annotations

import errno

import pytest

from projector.cli.app import run_line
from projector.cli.failures import ExitCode, UsageError, report, root_cause
from projector.core.errors import (
    ConfigurationError,
    LeaseLost,
    ProjectorError,
    SettingsError,
    SinkUnavailable,
)
from projector.core.secrets import conceal


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(SettingsError("x"), ExitCode.USAGE, id="setting"),
        pytest.param(UsageError("x"), ExitCode.USAGE, id="usage"),
        pytest.param(ConfigurationError("x"), ExitCode.FAILURE, id="wrong key"),
        pytest.param(SinkUnavailable("x"), ExitCode.FAILURE, id="outage"),
        pytest.param(OSError(errno.EADDRINUSE, "x"), ExitCode.FAILURE, id="port in use"),
        pytest.param(ValueError("x"), ExitCode.FAILURE, id="unforeseen"),
        pytest.param(KeyboardInterrupt(), ExitCode.INTERRUPTED, id="interrupted"),
    ],
)
def test_every_error_has_its_exit_code_and_one_line(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: ExitCode
) -> None:
    assert report(error, debug=False) == code
    assert capsys.readouterr().err.count("\n") == 1


def test_an_unforeseen_error_names_its_type_and_the_way_to_see_more(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report(ValueError("odd\n  thing"), debug=False)
    assert (
        capsys.readouterr().err
        == "error: ValueError: odd thing (run it again with --debug to see where)\n"
    )


def test_the_cause_of_nested_groups_is_the_first_error_of_our_own() -> None:
    ours = LeaseLost("gone")
    inner = ExceptionGroup("inner", [ValueError("noise"), ours])
    assert root_cause(ExceptionGroup("outer", [TypeError("more noise"), inner])) is ours


def test_a_group_of_foreign_errors_speaks_with_its_first() -> None:
    first = ValueError("first")
    assert root_cause(ExceptionGroup("outer", [first, TypeError("second")])) is first


def test_debug_prints_the_traceback_before_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    report(ProjectorError("the cause").with_traceback(None), debug=True)
    text = capsys.readouterr().err
    assert text.splitlines()[-2:] == [
        "projector.core.errors.ProjectorError: the cause",
        "error: the cause",
    ]


def test_wrong_usage_names_the_help_of_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_line(["leases", "lst"]) == ExitCode.USAGE
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert told.endswith("(see: projector leases --help)\n")


def test_neither_the_line_nor_the_traceback_shows_a_secret(
    capsys: pytest.CaptureFixture[str],
) -> None:
    conceal(["hush-hush"])
    cause = RuntimeError("dsn postgresql://u:hush-hush@h/d")
    error = ValueError("no hush-hush")
    error.__cause__ = cause
    report(error, debug=True)
    text = capsys.readouterr().err
    assert "hush" not in text
    assert "postgresql://u:***@h/d" in text
