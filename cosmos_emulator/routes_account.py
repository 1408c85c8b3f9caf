"""Answers about the account, its databases and their throughput."""

from __future__ import annotations

from typing import Any

from cosmos_emulator.account import Account
from cosmos_emulator.documents import decode_object
from cosmos_emulator.engine import Database
from cosmos_emulator.errors import not_found
from cosmos_emulator.offers import requested_content
from cosmos_emulator.querying import select_resources
from cosmos_emulator.wire import Answer, Call, json_answer, list_answer


def read_account(_: Account, call: Call) -> Answer:
    """Where the account can be reached: the way this request reached it."""
    location = [{"name": "Local", "databaseAccountEndpoint": f"{call.base_url}/"}]
    policy = {"minReplicaSetSize": 1, "maxReplicasetSize": 4, "asyncReplication": False}
    document = {
        "_self": "",
        "id": "localhost",
        "_rid": "localhost",
        "media": "//media/",
        "addresses": "//addresses/",
        "_dbs": "//dbs/",
        "writableLocations": location,
        "readableLocations": location,
        "enableMultipleWriteLocations": False,
        "userReplicationPolicy": policy,
        "userConsistencyPolicy": {"defaultConsistencyLevel": "Session"},
        "systemReplicationPolicy": policy,
        "readPolicy": {"primaryReadCoefficient": 1, "secondaryReadCoefficient": 1},
        "queryEngineConfiguration": "{}",
    }
    return json_answer(200, document)


def create_database(account: Account, call: Call) -> Answer:
    """Creates a database."""
    throughput = requested_content(call.headers)
    database = account.engine.create_database(decode_object(call.body).get("id", ""))
    account.offers.record(database.rid, throughput)
    return _database_answer(201, database)


def read_database(account: Account, call: Call) -> Answer:
    """Describes a database."""
    return _database_answer(200, account.engine.database(call.segments[1]))


def delete_database(account: Account, call: Call) -> Answer:
    """Removes a database."""
    account.engine.delete_database(call.segments[1])
    return Answer(status=204)


def list_databases(account: Account, _: Call) -> Answer:
    """Lists all databases."""
    return list_answer("", "Databases", [_resource(d) for d in account.engine.databases()])


def query_databases(account: Account, call: Call) -> Answer:
    """Lists the databases that a query selects."""
    resources = [_resource(database) for database in account.engine.databases()]
    return list_answer("", "Databases", select_resources(call.body, resources, account.engine.now))


def query_offers(account: Account, call: Call) -> Answer:
    """Lists throughput offers, all or those that a query selects."""
    offers = account.offers.resources(account.engine)
    if call.body:
        offers = select_resources(call.body, offers, account.engine.now)
    return list_answer("", "Offers", offers)


def read_offer(account: Account, call: Call) -> Answer:
    """Describes the throughput of a container or a database."""
    for offer in account.offers.resources(account.engine):
        if offer["id"] == call.segments[1]:
            return json_answer(200, offer, etag=offer["_etag"])
    raise not_found()


def replace_offer(account: Account, call: Call) -> Answer:
    """Changes the throughput of a container or a database."""
    wanted = decode_object(call.body).get("content")
    account.offers.replace(account.engine, call.segments[1], wanted)
    return read_offer(account, call)


def _database_answer(status: int, database: Database) -> Answer:
    resource = _resource(database)
    return json_answer(status, resource, etag=resource["_etag"])


def _resource(database: Database) -> dict[str, Any]:
    return {
        "id": database.name,
        "_rid": database.rid,
        "_self": f"dbs/{database.rid}/",
        "_etag": f'"00000000-0000-0000-0000-{database.written_at:08x}0000"',
        "_colls": "colls/",
        "_users": "users/",
        "_ts": database.written_at,
    }
