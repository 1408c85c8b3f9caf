"""`projector run`: one host until it is told to stop, or until everything has been read."""

from __future__ import annotations

import gc
from dataclasses import asdict

from projector.cli.entry import Stopping, enter_until_stopped, prepared
from projector.cli.lines import last_word
from projector.cli.output import print_json
from projector.operations.observers import Tally
from projector.settings import required_endpoint
from projector.wiring.service import Service


def run(*, until_caught_up: bool, migrate: bool, as_json: bool) -> None:
    """Acquire leases, project, checkpoint, until Ctrl-C or SIGTERM."""
    settings = prepared()
    required_endpoint(settings)
    # What is loaded by now lives as long as the process; the collector need not visit it again.
    gc.collect()
    gc.freeze()

    async def command(stopping: Stopping) -> Tally:
        service = Service(settings)
        stopping.then(service.request_stop)
        return await service.run(migrate=migrate, until_caught_up=until_caught_up)

    notice = "stopping: finishing the batch in hand (once more to stop at once)"
    tally = enter_until_stopped(command, notice=notice)
    if as_json:
        print_json(asdict(tally), tell=last_word)
        return
    last_word(str(tally))
