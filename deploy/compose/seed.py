"""Makes the cart container of the compose file with two carts in it; leaves alone what is there.

It reads the same PROJECTOR_* settings as the projector, and nothing of the projector's code.
"""

from __future__ import annotations

import contextlib
import os
import sys

from azure.cosmos import CosmosClient, PartitionKey
from azure.cosmos.exceptions import CosmosResourceExistsError

CARTS = (
    {"id": "1", "cartId": "123", "item": "Surface Pro", "quantity": 2},
    {"id": "2", "cartId": "123", "item": "Surface Book", "quantity": 8},
    {"id": "3", "cartId": "456", "item": "Surface Pen", "quantity": 1, "price": 99.99},
)


def main() -> None:
    """Creates what is missing."""
    setting = os.environ
    client = CosmosClient(setting["PROJECTOR_COSMOS_ENDPOINT"], setting["PROJECTOR_COSMOS_KEY"])
    with client:
        database = client.create_database_if_not_exists(setting["PROJECTOR_COSMOS_DATABASE"])
        container = database.create_container_if_not_exists(
            setting["PROJECTOR_COSMOS_CONTAINER"],
            PartitionKey(path="/cartId"),
            default_ttl=-1,  # documents stay, but may carry a ttl of their own
        )
        for cart in CARTS:
            with contextlib.suppress(CosmosResourceExistsError):
                container.create_item(cart)
    sys.stdout.write(f"{len(CARTS)} documents are there\n")


if __name__ == "__main__":
    main()
