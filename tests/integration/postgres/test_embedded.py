from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from projector.postgres.embedded import EmbeddedPostgres, EmbeddedPostgresError
from tests.fixtures.ports import free_port
from tests.fixtures.postgres import quick_folder

FAST = {"fsync": "off", "max_connections": "20", "shared_buffers": "16MB"}
COUNT_NOTES = "SELECT count(*) FROM notes"
JOIN_AND_WAIT = """
import sys, time
from pathlib import Path
from projector.postgres.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), options={"fsync": "off"})
server.start()
print(server.pid, flush=True)
sys.stdin.read()
server.stop()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose name needs quoting, and whose server does not outlive the test."""
    with quick_folder() as place:
        folder = place / "it's a folder"
        yield folder
        EmbeddedPostgres(folder).remove()


def server_in(folder: Path, **settings: object) -> EmbeddedPostgres:
    return EmbeddedPostgres(folder, options=FAST, **settings)  # type: ignore[arg-type]


def write_note(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS notes (id int)")
        connection.execute("INSERT INTO notes VALUES (1)")


def count_notes(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(COUNT_NOTES).fetchone()
    assert row is not None
    return int(row[0])


def await_end(pid: int) -> None:
    deadline = time.monotonic() + 20
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, f"process {pid} is still there"
        threading.Event().wait(0.02)


def spawn_user(folder: Path) -> tuple[subprocess.Popen[str], int]:
    user = subprocess.Popen(
        [sys.executable, "-c", JOIN_AND_WAIT, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert user.stdout is not None
    return user, int(user.stdout.readline())


def test_rows_and_port_survive_a_restart(folder: Path) -> None:
    with server_in(folder) as server:
        first = server.url
        write_note(first)
    assert server.pid is None
    with server_in(folder) as server:
        assert server.url == first
        assert count_notes(server.url) == 1


def test_server_takes_options_and_the_wanted_port_and_no_socket_file(folder: Path) -> None:
    port = free_port()
    options = {**FAST, "application_name": "it's here"}
    server = EmbeddedPostgres(folder, port=port, database="own", options=options)
    shown = "SELECT current_setting(name) FROM unnest(%s::text[]) AS name"
    names = ["port", "max_connections", "listen_addresses", "unix_socket_directories"]
    with server, psycopg.connect(server.url) as connection:
        rows = connection.execute(shown, [[*names, "timezone"]]).fetchall()
        assert [row[0] for row in rows] == [str(port), "20", "127.0.0.1", "", "UTC"]
        assert connection.execute("SELECT current_database()").fetchone() == ("own",)


def test_nobody_enters_without_the_password(folder: Path) -> None:
    with server_in(folder) as server:
        wrong = f"postgresql://postgres:wrong@127.0.0.1:{server.port}/postgres"
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(wrong)
    assert stat.S_IMODE((folder / "password").stat().st_mode) == 0o600


def test_server_killed_outright_comes_back_with_its_rows(folder: Path) -> None:
    with server_in(folder) as server:
        write_note(server.url)
        pid = server.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await_end(pid)
    with server_in(folder) as server:
        assert count_notes(server.url) == 1


def test_server_killed_under_its_users_is_revived_at_its_address(folder: Path) -> None:
    with server_in(folder) as server:
        url = server.url
        write_note(url)
        assert not server.revive()
        pid = server.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await_end(pid)
        assert server.revive()
        assert count_notes(url) == 1
        assert not server.revive()
    assert not server.revive()
    assert server.pid is None


def test_nobody_else_can_hold_the_locks(folder: Path) -> None:
    """Whoever may open a file, if only to read it, may hold a lock on it for ever."""
    with server_in(folder):
        modes = {(folder / name).stat().st_mode & 0o777 for name in ("lock", "users")}
    assert modes == {0o600}
    (folder / "lock").chmod(0o644)  # as an older release left it
    with server_in(folder):
        assert (folder / "lock").stat().st_mode & 0o777 == 0o600


def test_a_lock_that_is_held_for_ever_is_named(folder: Path) -> None:
    server_in(folder).remove()
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        with pytest.raises(EmbeddedPostgresError, match="lock is held by another process"):
            server_in(folder, timeout_seconds=0.1).start()


def test_pid_file_that_names_another_living_program_does_not_stop_the_start(folder: Path) -> None:
    with server_in(folder) as server:
        write_note(server.url)
        left = (folder / "data" / "postmaster.pid").read_text().splitlines()
    pid_file = folder / "data" / "postmaster.pid"
    account = (folder / "data").stat().st_uid  # PostgreSQL minds its own account's programs alone
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, user=account) as other:
        left[0] = str(other.pid)
        pid_file.write_text("\n".join(left))
        with server_in(folder) as server:
            assert server.pid != other.pid
            assert count_notes(server.url) == 1
        assert other.poll() is None
        other.kill()


def test_last_user_stops_the_server(folder: Path) -> None:
    first, second = server_in(folder), server_in(folder)
    first.start()
    second.start()
    assert second.url == first.url
    first.stop()
    write_note(second.url)
    second.stop()
    assert server_in(folder).pid is None


def test_server_of_a_killed_process_is_joined_and_then_stopped(folder: Path) -> None:
    user, pid = spawn_user(folder)
    with user:
        user.kill()
    with server_in(folder) as server:
        assert server.pid == pid
        write_note(server.url)
    assert server_in(folder).pid is None


def test_server_in_use_by_another_process_is_not_removed(folder: Path) -> None:
    user, pid = spawn_user(folder)
    with user:
        with pytest.raises(EmbeddedPostgresError, match="in use by another process"):
            EmbeddedPostgres(folder).remove()
        assert psutil.pid_exists(pid)


def test_removed_server_starts_anew(folder: Path) -> None:
    server = server_in(folder)
    server.start()
    write_note(server.url)
    server.remove()
    assert not (folder / "data").exists()
    with server, psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT to_regclass('notes')").fetchone() == (None,)


def test_cluster_left_unfinished_by_a_kill_is_made_anew(folder: Path) -> None:
    with server_in(folder) as server:
        write_note(server.url)
    made = (folder / "data").resolve()
    unfinished = made.rename(made.with_name("data.new"))
    with server_in(folder) as server:
        write_note(server.url)
        assert count_notes(server.url) == 1
    assert not unfinished.exists()


def test_wanted_port_in_use_is_named(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EmbeddedPostgresError, match=f"(?i){port}.*in use|in use.*{port}"):
            server_in(folder, port=port).start()
    assert server_in(folder).pid is None


def test_last_port_taken_by_another_program_is_left_to_it(folder: Path) -> None:
    with server_in(folder) as server:
        last = server.port
    with ExitStack() as stack:
        with suppress(
            OSError
        ):  # somebody else on this machine was faster: it is taken all the same
            stack.enter_context(socket.create_server(("127.0.0.1", last)))
        with server_in(folder) as server:
            assert server.port != last
            write_note(server.url)


def test_cluster_of_another_major_version_is_refused(folder: Path) -> None:
    with server_in(folder):
        pass
    (folder / "data" / "PG_VERSION").write_text("17\n")
    with pytest.raises(
        EmbeddedPostgresError, match=r"made by PostgreSQL 17.*remove .* to start anew"
    ):
        server_in(folder).start()


def test_lost_password_is_named_with_its_remedy(folder: Path) -> None:
    with server_in(folder):
        pass
    (folder / "password").unlink()
    with pytest.raises(EmbeddedPostgresError, match=r"password is gone.*remove .* to start anew"):
        server_in(folder).start()


def test_setting_that_the_server_does_not_know_is_named(folder: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match="nonsense"):
        EmbeddedPostgres(folder, options={"nonsense": "1"}).start()


def test_url_before_the_start_says_so(folder: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match="not started"):
        _ = server_in(folder).url


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedPostgresError, match=r"file/pg cannot be written: Not a directory"):
        EmbeddedPostgres(tmp_path / "file" / "pg").start()


def test_simultaneous_starts_share_one_server(folder: Path) -> None:
    servers = [server_in(folder) for _ in range(3)]
    threads = [threading.Thread(target=server.start) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({server.url for server in servers}) == 1
    for server in servers:
        server.stop()
    assert server_in(folder).pid is None


async def test_cancelled_start_leaves_no_server(folder: Path) -> None:
    server = server_in(folder)
    starting = asyncio.create_task(server.__aenter__())
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert (folder / "data").exists()
    assert server.pid is None


async def test_loop_goes_on_while_the_server_starts(folder: Path) -> None:
    turns = 0
    async with asyncio.TaskGroup() as group:
        starting = group.create_task(server_in(folder).__aenter__())
        while not starting.done():
            turns += 1
            await asyncio.sleep(0.01)
    assert turns > 5
    async with starting.result():
        pass
