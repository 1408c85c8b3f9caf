"""The tools of analysts in an environment of their own, inside of ours, which stays without them.

It is made at the first call from `tools.lock`, and anew when that changes. `make lock` writes the lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

LOCK = Path(__file__).with_name("tools.lock")
ENVIRONMENT = Path(sys.prefix) / "analysts"
STAMP = ENVIRONMENT / ".installed"
INSTALL = [
    "-m",
    "pip",
    "install",
    "--quiet",
    "--no-compile",  # most of half a gigabyte is never imported
    "--disable-pip-version-check",
    "--no-input",
    "--retries=2",
]
INSTALL_SECONDS = 600


def ensure_tools() -> None:
    """Installs what is not installed; skips the test where packages are not to be had."""
    wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    with ENVIRONMENT.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of two workers, one installs
        if STAMP.exists() and STAMP.read_text() == wanted:
            return
        venv.create(ENVIRONMENT, clear=True, with_pip=True)
        install = [*INSTALL, "--no-deps", "--require-hashes", "-r", str(LOCK)]
        try:
            done = subprocess.run(
                [ENVIRONMENT / "bin" / "python", *install],
                capture_output=True,
                text=True,
                check=False,
                timeout=INSTALL_SECONDS,
            )
        except subprocess.TimeoutExpired:
            pytest.skip(f"the tools of analysts did not come within {INSTALL_SECONDS} s")
        if done.returncode != 0:
            pytest.skip(f"the tools of analysts are not to be had: {done.stderr.strip()[:200]}")
        STAMP.write_text(wanted)


def run_python(
    script: Path,
    *arguments: str | Path,
    url: str,
    folder: Path,
    told: str = "",
    **surroundings: str,
) -> subprocess.CompletedProcess[str]:
    """Runs a script there, with the surroundings that psql has; `told` is its standard input."""
    return subprocess.run(
        [ENVIRONMENT / "bin" / "python", script, *arguments],
        cwd=folder,
        env={**_surroundings(url, folder), **surroundings},
        input=told,
        capture_output=True,
        text=True,
        check=False,
    )


def said(done: subprocess.CompletedProcess[str]) -> str:
    """Everything that it said, for the message of a test."""
    return f"{done.stdout}\n{done.stderr}"


def _surroundings(url: str, folder: Path) -> dict[str, str]:
    """Where the database is, and nothing of ours: no settings, no configuration of a home."""
    login = make_url(url)
    kept: Sequence[str] = ("LANG", "LC_ALL", "TMPDIR")
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "PATH": f"{ENVIRONMENT / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "PGHOST": str(login.host),
        "PGPORT": str(login.port),
        "PGUSER": str(login.username),
        "PGPASSWORD": str(login.password),
        "PGDATABASE": str(login.database),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DBT_NO_VERSION_CHECK": "true",
    }
