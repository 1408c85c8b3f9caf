"""`python -m cosmos_emulator`: the server alone, for clients in any language, until Ctrl-C or SIGTERM.

Standard output bears the endpoint, the key and `ready`, standard error all else.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

from cosmos_emulator.addresses import cannot_listen
from cosmos_emulator.auth import WELL_KNOWN_KEY
from cosmos_emulator.engine import DEFAULT_PARTITIONS
from cosmos_emulator.server import EmulatorServer
from cosmos_emulator.serving import serve

DEFAULT_PORT = 8081
MOST_PARTITIONS = 1000
_MOST_PORT = 65535


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code: 0 when it was told to end, 1 when it cannot serve."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        server = EmulatorServer(
            options.host,
            options.port,
            key=options.key,
            partitions=options.partitions,
            https=options.https,
        )
    except ValueError as error:
        parser.error(str(error))
    server.engine.offset_seconds = options.clock_offset
    try:
        asyncio.run(_until_told(server))
    except OSError as error:
        _say(f"error: {cannot_listen(options.host, options.port, error)}")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cosmos_emulator",
        description="Serves an account of Azure Cosmos DB for NoSQL over HTTP, in memory.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--host", type=_address, default="127.0.0.1", help="address to listen on")
    parser.add_argument(
        "--port", type=_port, default=DEFAULT_PORT, help="port; 0 takes any free one"
    )
    parser.add_argument(
        "--partitions",
        type=_partitions,
        default=DEFAULT_PARTITIONS,
        help="physical partitions of a new container",
    )
    parser.add_argument("--key", default=WELL_KNOWN_KEY, help="the account's key, in base64")
    parser.add_argument(
        "--https", action="store_true", help="serve https with a self-signed certificate"
    )
    parser.add_argument(
        "--clock-offset",
        metavar="SECONDS",
        type=float,
        default=0.0,
        help="shift the service's clock against this machine's",
    )
    return parser


async def _until_told(server: EmulatorServer) -> None:
    serving = asyncio.current_task()
    assert serving is not None  # noqa: S101 - a coroutine that runs has a task
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, serving.cancel)
    with suppress(asyncio.CancelledError):
        await serve(server, announce=_announce, warn=_say)


def _announce(line: str) -> None:
    try:
        print(line, flush=True)
    except BrokenPipeError:  # nobody reads on; the server is not less there for that
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _address(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("an address is needed, for example 127.0.0.1")
    return text


def _port(text: str) -> int:
    return _number(text, 0, _MOST_PORT)


def _partitions(text: str) -> int:
    return _number(text, 1, MOST_PARTITIONS)


def _number(text: str, least: int, most: int) -> int:
    number = int(text) if text.isascii() and text.isdigit() else -1
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"a number from {least} to {most} is needed")
    return number


if __name__ == "__main__":
    sys.exit(main())
