"""Databases of the shop, and the tools of analysts apart from ours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.bi.shop import OpenShop, analyst, open_shop
from tests.fixtures.postgres import new_database


@pytest.fixture(scope="module")
def shop(postgres_server_url: str, migrated_template: str) -> Iterator[OpenShop]:
    """The shop, for tests that only read it; each module's own, so that its ages are young."""
    now = int(time.time())
    with new_database(postgres_server_url, template=migrated_template) as url:
        asyncio.run(open_shop(url, now))
        with analyst(url) as analyst_url:
            yield OpenShop(url=url, analyst_url=analyst_url, now=now)
