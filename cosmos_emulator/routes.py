"""From an operation's name to its answer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

from cosmos_emulator import (
    routes_account,
    routes_containers,
    routes_feeds,
    routes_items,
    routes_plans,
)
from cosmos_emulator.account import Account
from cosmos_emulator.errors import EmulatorError, bad_request
from cosmos_emulator.query import Budget, is_limited
from cosmos_emulator.refused import check_offered
from cosmos_emulator.wire import Answer, Call, error_answer

PAUSING = frozenset(
    {"query_items", "query_plan", "query_databases", "query_containers", "query_offers"}
)
"""Operations that may take long, and can pause meanwhile."""

_UNPAUSED_STEPS = 2_000_000

ROUTES: dict[str, Callable[[Account, Call], Answer]] = {
    "read_account": routes_account.read_account,
    "create_database": routes_account.create_database,
    "read_database": routes_account.read_database,
    "delete_database": routes_account.delete_database,
    "list_databases": routes_account.list_databases,
    "query_databases": routes_account.query_databases,
    "query_offers": routes_account.query_offers,
    "read_offer": routes_account.read_offer,
    "replace_offer": routes_account.replace_offer,
    "create_container": routes_containers.create_container,
    "read_container": routes_containers.read_container,
    "replace_container": routes_containers.replace_container,
    "delete_container": routes_containers.delete_container,
    "list_containers": routes_containers.list_containers,
    "query_containers": routes_containers.query_containers,
    "read_pkranges": routes_containers.read_pkranges,
    "create_item": routes_items.create_item,
    "upsert_item": routes_items.upsert_item,
    "replace_item": routes_items.replace_item,
    "read_item": routes_items.read_item,
    "delete_item": routes_items.delete_item,
    "patch_item": routes_items.patch_item,
    "batch": routes_items.batch,
    "bulk": routes_items.bulk,
    "delete_partition_key": routes_items.delete_partition_key,
    "change_feed": routes_feeds.change_feed,
    "read_feed": routes_feeds.read_feed,
    "query_items": routes_feeds.query_items,
    "query_plan": routes_plans.query_plan,
}


def answer(account: Account, operation: str | None, call: Call) -> Answer:
    """Answers a request that was let in; a refusal is an answer too."""
    try:
        check_offered(call)
        call.check_consistency()
        route = _route(operation, call)
        with nullcontext() if is_limited() else Budget(_UNPAUSED_STEPS).in_force():
            return route(account, account.by_names(call))
    except EmulatorError as error:
        return error_answer(error)
    except RecursionError:
        return error_answer(
            bad_request("Something in the request, or read by it, nests too deeply.")
        )


def _route(operation: str | None, call: Call) -> Callable[[Account, Call], Answer]:
    if operation is None:
        raise EmulatorError(404, 0, f"There is no {call.method} {call.path}.")
    return ROUTES[operation]
