"""The unit fits the program: what it calls, how long a stop takes, what no restart mends, what it may do."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from projector.core.names import InstanceName
from projector.processor.options import ProcessorOptions
from tests.deploy.test_howto_commands import arguments_of, fault_of

UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "cosmos-projector.service"
PATIENCE_SECONDS = 2.0
ANALYZE = shutil.which("systemd-analyze")
HARDENED = {
    "CapabilityBoundingSet": "",
    "DynamicUser": "yes",
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "MemoryDenyWriteExecute": "yes",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
}


def directives() -> dict[str, str]:
    text = UNIT.read_text("utf-8")
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))


def test_it_runs_a_command_that_there_is() -> None:
    arguments = arguments_of(directives()["ExecStart"])
    assert arguments == ["run"]
    assert fault_of(arguments) is None


def test_a_stop_gets_the_time_that_a_host_may_take() -> None:
    options = ProcessorOptions(processor_name="any", instance_name=InstanceName("any"))
    assert float(directives()["TimeoutStopSec"]) >= options.drain_seconds + PATIENCE_SECONDS


def test_it_waits_for_readiness_and_watches() -> None:
    told = directives()
    assert told["Type"] == "notify"
    assert told["TimeoutStartSec"] == "infinity"  # a server that is down at the start is waited for
    assert int(told["WatchdogSec"]) > 0
    assert told["RestartPreventExitStatus"] == "2"


def test_it_is_hardened() -> None:
    assert HARDENED.items() <= directives().items()


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
def test_systemd_itself_finds_no_fault(tmp_path: Path) -> None:
    assert ANALYZE is not None
    here = tmp_path / UNIT.name
    text = UNIT.read_text("utf-8")
    here.write_text(
        re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", text, flags=re.MULTILINE)
    )
    verified = subprocess.run(
        [ANALYZE, "verify", str(here)], capture_output=True, text=True, check=False
    )
    assert UNIT.name not in verified.stderr, verified.stderr
    rated = subprocess.run(
        [ANALYZE, "security", "--offline=yes", "--threshold=20", str(here)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert rated.returncode == 0, rated.stdout
