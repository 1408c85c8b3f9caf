"""One emulator process for all tests, a fresh database for each, and the command line wired to both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.shop import Shop
from tests.acceptance.support import CommandLine, EmulatorProcess, emulator_process

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever is tried with processes needs a server, and patience."""
    for item in items:
        if item.path.is_relative_to(HERE):
            for mark in ("acceptance", "postgres", "slow"):
                item.add_marker(mark)
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def emulator_command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    """The emulator, run by its own command."""
    with emulator_process(tmp_path_factory.mktemp("emulator")) as process:
        yield process


@pytest.fixture
def shop(emulator_command: EmulatorProcess, database_url: str) -> Iterator[Shop]:
    """A web shop that writes with the SDK, and reports that read SQL; closed down at the end."""
    with Shop.opened(emulator_command, database_url) as opened:
        yield opened
        opened.delete_database()


@pytest.fixture
def command_line(
    emulator_command: EmulatorProcess, database_url: str, tmp_path: Path
) -> CommandLine:
    """`projector` with the settings of a real account."""
    return CommandLine(
        folder=tmp_path,
        settings={
            "COSMOS_ENDPOINT": emulator_command.endpoint,
            "COSMOS_KEY": emulator_command.key,
            "DATABASE_URL": database_url,
            "WEB_PORT": "0",
        },
    )
