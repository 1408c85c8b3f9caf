"""Where a module of the product is tested: in a test module of its name, in a folder of its room's name.

`projector/core/lease.py` is tested in `tests/unit/core/test_lease.py`. What several test modules share
out, or one tests with its neighbours, stands in the table below, under the test module that fails first when
it breaks. Modules that do nothing, of values and protocols alone, need no test.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PRODUCT = ROOT / "projector"
TABLE = """
acceptance/test_demo: cli/demo demo/demo demo/totals
acceptance/test_rebuild: cli/rebuild wiring/filling wiring/spending
acceptance/test_trouble: cli/emulator cli/leases cli/run cli/status
acceptance/test_verify: cli/explain cli/health cli/progress cli/quarantine cli/verify
  operations/quarantine
bi/test_dbt_command: cli/bi
conformance/test_bootstrap: processor/bootstrap
conformance/test_estimator: processor/estimator
conformance/test_leases: processor/lease_keeper
conformance/test_shutdown: processor/waiting
conformance/test_splits: processor/handover
conformance/test_worker: processor/controller processor/supervisor processor/notifications
integration/changefeed/test_processor: changefeed/estimator changefeed/tuning
integration/cli/test_signals: cli/entry
integration/cosmos/test_lease_store: cosmos/lease_container
integration/cosmos/test_way_there: cosmos/unreachable
integration/postgres/test_embedded: postgres/embedded_cluster
integration/postgres/test_embedded_as_root: postgres/embedded_programs
integration/postgres/test_generation: postgres/control postgres/tables
integration/postgres/test_generations: ports/generations postgres/past postgres/retiring
  postgres/switching
integration/postgres/test_history: postgres/recording
integration/postgres/test_moved: postgres/sequences
integration/postgres/test_orders_mended: postgres/comparison postgres/verification
integration/postgres/test_quarantine: ports/quarantine
integration/postgres/test_resets: postgres/replays postgres/source
integration/postgres/test_sessions: postgres/properties
integration/postgres/test_sweep: postgres/locked
integration/rebuild/test_finishing: postgres/finishing
integration/rebuild/test_gate: wiring/copy
integration/rebuild/test_hands: wiring/rebuilds
integration/rebuild/test_parts: postgres/fill_parts postgres/filling
integration/verify/test_confirm: reconcile/confirm
integration/verify/test_doctor: cosmos/diagnosis postgres/diagnosis
integration/verify/test_explain: operations/explain postgres/explain
integration/verify/test_freshness: postgres/freshness
integration/verify/test_generations: wiring/generations
integration/verify/test_health: postgres/copy_facts
integration/verify/test_housekeeping: housekeeping wiring/housekeeping
integration/verify/test_strangers: operations/strangers
integration/verify/test_timeline: cli/timeline wiring/presence
integration/verify/test_verify: reconcile/verify
integration/web/test_probes: wiring/web
integration/wiring/test_reset: wiring/commands
integration/wiring/test_service: processor/clock
integration/wiring/test_start: wiring/opening
integration/wiring/test_target_checks: operations/target_checks
migrations/test_migrations: postgres/migrate postgres/schema wiring/database
unit/bi/test_package: bi/marts bi/semantics bi/sources bi/yaml
unit/cli/test_app: cli/groups cli/leases_group
unit/cli/test_failures: core/errors
unit/cli/test_output: cli/lines
unit/cli/test_rebuild_page: cli/rebuild_words
unit/core/test_bookmarks: core/bookmark_file
unit/operations/test_fleet: processor/refusals
unit/operations/test_rebuild: operations/generations
unit/operations/test_source_checks: core/names ports/copy
unit/postgres/test_passfile: postgres/beside
unit/processor/test_budget: ports/budget
unit/processor/test_odd_company: processor/namesakes
unit/processor/test_recovery: processor/follower processor/holdoffs processor/neighbours
  processor/reporter processor/watchdog
unit/processor/test_starts: processor/opening processor/sweeping
unit/processor/test_traces: ports/traces
unit/projection/test_document: projection/identity projection/values
unit/projection/test_fold: projection/writes
unit/projection/test_lane: projection/shapes
unit/projection/test_project: projection/fields
unit/reconcile/test_answers: reconcile/sweep
unit/reconcile/test_parts: ports/ranges
unit/telemetry/test_metrics: telemetry/fleet
unit/test_settings: settings/model settings/sources settings/values
unit/web/test_page: web/document web/generations web/html web/plots web/sections web/timeline
  web/words
unit/wiring/test_feeders: wiring/feeding
"""
"""Test modules, and the modules of the product that they test beside the one they are named after."""
TOGETHER = {
    test: tuple(tested.split())
    for test, _, tested in (line.partition(": ") for line in TABLE.replace("\n  ", " ").split("\n"))
    if test
}


def acts(path: Path) -> bool:
    """Whether a module does anything: has a function with a body, outside of protocols."""
    tree = ast.parse(path.read_text("utf-8"))
    protocols = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and any(ast.unparse(base).startswith("Protocol") for base in node.bases)
    ]
    promised = {id(node) for protocol in protocols for node in ast.walk(protocol)}
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and id(node) not in promised
        for node in ast.walk(tree)
    )


def modules(room: Path) -> Iterator[str]:
    """The modules of a room that do something, as the table names them."""
    paths = [path for path in room.glob("*.py") if not path.name.startswith("__")]
    return (p.relative_to(PRODUCT).with_suffix("").as_posix() for p in paths if acts(p))


def bears_its_name(module: str) -> bool:
    """Whether there is a test module of this module's name, in a folder of its room's name."""
    room, _, name = module.rpartition("/")
    return bool(room) and any(ROOT.glob(f"tests/**/{room}/test_{name}.py"))
