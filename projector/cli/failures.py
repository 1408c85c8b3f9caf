"""How a command ends: the exit codes of the contract and the one line that explains a failure.

0 success, 1 failure, 2 wrong usage or a missing or unknown setting, 3 drift found, 130 interrupted.
"""

from __future__ import annotations

import errno
import traceback
from enum import IntEnum

from typer.exceptions import Abort, TyperException

from projector.cli.lines import say
from projector.core.errors import ProjectorError, SettingsError

USAGE_EXIT_CODE_OF_TYPER = 2


class ExitCode(IntEnum):
    """What the shell is told."""

    SUCCESS = 0
    FAILURE = 1
    USAGE = 2
    DRIFT = 3
    INTERRUPTED = 130


class UsageError(ProjectorError):
    """The command was called in a way that cannot work here; the message says how to call it."""


def root_cause(error: BaseException) -> BaseException:
    """The error to speak of: the first of our own inside nested groups, else the first of all."""
    leaves = list(_leaves(error))
    return next((leaf for leaf in leaves if isinstance(leaf, ProjectorError)), leaves[0])


def report(error: BaseException, *, debug: bool) -> ExitCode:
    """Prints one line on stderr (with `debug` the traceback before it) and returns the exit code."""
    cause = root_cause(error)
    if debug:
        for line in "".join(traceback.format_exception(error)).rstrip().split("\n"):
            say(line)
    if isinstance(cause, KeyboardInterrupt | Abort):
        say("interrupted")
        return ExitCode.INTERRUPTED
    say(f"error: {_one_line(cause)}")
    return _exit_code(cause)


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


def _exit_code(cause: BaseException) -> ExitCode:
    if isinstance(cause, SettingsError | UsageError):
        return ExitCode.USAGE
    if isinstance(cause, TyperException) and cause.exit_code == USAGE_EXIT_CODE_OF_TYPER:
        return ExitCode.USAGE
    return ExitCode.FAILURE


def _one_line(cause: BaseException) -> str:
    if isinstance(cause, TyperException):
        return _joined(cause.format_message()) + _way_out(cause)
    if isinstance(cause, ProjectorError):
        return _joined(str(cause))
    if isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE:
        return f"the address is in use already: {_joined(cause.strerror or str(cause))}"
    text = _joined(str(cause))
    kind = type(cause).__name__
    return (
        f"{kind}: {text} (run it again with --debug to see where)"
        if text
        else f"{kind} (run it again with --debug)"
    )


def _way_out(cause: TyperException) -> str:
    """Where the right usage is told; the errors of typer know their command."""
    context = getattr(cause, "ctx", None)
    return "" if context is None else f" (see: {context.command_path} --help)"


def _joined(text: str) -> str:
    return " ".join(text.split())
