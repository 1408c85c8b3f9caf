"""dlt's merge of the same documents, in an environment of its own; run by `benchmarks.dlt_case`.

Reads batches of documents, one JSON array per line, from a file; runs one pipeline per line, by
upsert on the same key, keeping the newest version of a key within a load. Prints the seconds of each
run as a JSON array: imports and the first, empty run (which makes dlt's own tables) are not in them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

COLUMNS: dict[str, Any] = {
    "id": {"data_type": "text", "nullable": False},
    "cart_id": {"data_type": "text", "nullable": False},
    "price": {"data_type": "double"},
    "_lsn": {"data_type": "bigint", "dedup_sort": "desc"},
}
NAMES = {"cartId": "cart_id"}


def run(url: str, lines: list[str], folder: str) -> list[float]:
    """Load each line as one run of the pipeline; the seconds of each."""
    import dlt  # type: ignore[import-not-found]  # noqa: PLC0415 - only this process has it

    pipeline = dlt.pipeline(
        pipeline_name="bench",
        pipelines_dir=folder,
        destination=dlt.destinations.postgres(url),
        dataset_name="dlt_carts",
    )
    seconds = []
    for line in lines:
        rows = [
            {NAMES.get(name, name): value for name, value in document.items()}
            for document in json.loads(line)
        ]
        resource = dlt.resource(
            rows,
            name="cart_items",
            primary_key=["cart_id", "id"],
            write_disposition="merge",
            columns=COLUMNS,
        )
        began = time.perf_counter()
        pipeline.run(resource)
        seconds.append(time.perf_counter() - began)
    return seconds


def main() -> None:
    """Read the file, load it, print the seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("batches", type=Path)
    arguments = parser.parse_args()
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    os.environ["RUNTIME__LOG_LEVEL"] = "ERROR"
    with tempfile.TemporaryDirectory(prefix="projector-bench-") as folder:
        lines = arguments.batches.read_text().splitlines()
        json.dump(run(arguments.url, lines, folder), sys.stdout)


if __name__ == "__main__":
    main()
