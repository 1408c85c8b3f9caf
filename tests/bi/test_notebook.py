"""The notebook runs from its first cell to its plot, as an analyst, and says what is known."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from tests.bi.shop import OpenShop
from tests.bi.tools import ensure_tools, run_python, said

NOTEBOOK = Path(__file__).parents[2] / "docs" / "tutorial-notebook" / "carts.py"
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.slow
def test_the_notebook_says_what_is_known_and_stops_where_nobody_knows_the_lag(
    shop: OpenShop, tmp_path: Path
) -> None:
    ensure_tools()
    done = run_python(NOTEBOOK, url=shop.analyst_url, folder=tmp_path)
    assert done.returncode == 0, said(done)
    told = [line.split() for line in done.stdout.splitlines()]
    assert ["EUR", "5", "4485.96", "-99.99", "2097.99"] in told
    assert ["Surface", "Pro", "4096", "-"] in told
    assert ["this", "week", "2"] in told
    assert (tmp_path / "carts.png").read_bytes().startswith(PNG)

    with psycopg.connect(shop.url, autocommit=True) as owner:
        owner.execute("UPDATE projector.range_reports SET lag_seconds = NULL")
    done = run_python(NOTEBOOK, url=shop.analyst_url, folder=tmp_path)
    assert done.returncode == 1
    assert "not known to be complete" in done.stderr
