"""One emulator for each suite: a process of its own, on a port of its own, ended when the suite is.

The suite is told where by its environment: `COSMOS_ENDPOINT`, `COSMOS_KEY` and, where the emulator
serves https, `COSMOS_CERTIFICATE`, a file with the certificate to trust.
"""

from __future__ import annotations

import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

_ENDING_SECONDS = 10


@contextmanager
def emulator(folder: Path, *, https: bool) -> Iterator[Mapping[str, str]]:
    """Yields what the suite must find in its environment; `folder` is for the certificate."""
    command = [
        sys.executable,
        "-m",
        "cosmos_emulator",
        "--port",
        "0",
        *(["--https"] if https else []),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            said = _until_ready(process)
            environment = {"COSMOS_ENDPOINT": said["endpoint"], "COSMOS_KEY": said["key"]}
            if https:
                environment |= _trust(said["endpoint"], folder)
            yield environment
        finally:
            process.terminate()
            try:
                process.wait(_ENDING_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _until_ready(process: subprocess.Popen[str]) -> dict[str, str]:
    said: dict[str, str] = {}
    for line in process.stdout or ():
        name, _, value = line.strip().partition(" ")
        said[name] = value
        if name == "ready":
            return said
    raise RuntimeError("the emulator ended before it was ready; what it said stands above")


def _trust(endpoint: str, folder: Path) -> dict[str, str]:
    address = urlsplit(endpoint)
    certificate = folder / "emulator.pem"
    certificate.write_text(ssl.get_server_certificate((str(address.hostname), address.port or 443)))
    return {"COSMOS_CERTIFICATE": str(certificate), "NODE_EXTRA_CA_CERTS": str(certificate)}
