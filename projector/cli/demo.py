"""`projector demo`: everything at once, nothing needed beforehand."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from pathlib import Path

from rich.console import Console
from rich.live import Live

from projector.cli.entry import Stopping, enter_until_stopped
from projector.cli.lines import answer
from projector.demo.demo import Demo, Show, show_lines
from projector.demo.screen import Screen

LEAST_WIDTH, LEAST_HEIGHT = 72, 20
FOLDER = Path(".projector") / "demo"


def demo(*, seconds: float | None) -> None:
    """Watch carts turn into totals: emulator, PostgreSQL, host and shoppers in one terminal."""

    async def command(stopping: Stopping) -> None:
        performance = Demo(folder=FOLDER, say=answer, seconds=seconds)
        stopping.then(performance.request_stop)
        console = Console(highlight=False)
        drawing = console.is_terminal and not console.is_dumb_terminal and _is_large(console)
        await performance.run(_frames(console) if drawing else show_lines(sys.stdout))

    enter_until_stopped(command, notice="stopping the demo")


def _is_large(console: Console) -> bool:
    return console.width >= LEAST_WIDTH and console.height >= LEAST_HEIGHT


def _frames(console: Console) -> Show:
    async def show(screen: Screen) -> AsyncGenerator[None]:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                live.update(screen.draw(width=console.width, height=console.height), refresh=True)
                yield

    return show
