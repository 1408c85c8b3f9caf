"""What one writes in an afternoon: the SDK's change feed iterator, an upsert by hand, a commit per page.

A process of its own, run by `benchmarks.end_to_end`: reads one container from the beginning with the
SDK's default page size, keeps its place in a table, ends at the first page without documents. It
knows nothing of splits, fences or deletes.
"""

from __future__ import annotations

import argparse

from azure.cosmos import CosmosClient

from benchmarks.baselines import ByHand


def copy_feed(arguments: argparse.Namespace) -> int:
    """Read everything there is, page by page; how many documents that was."""
    done = 0
    with CosmosClient(arguments.endpoint, arguments.key) as client, ByHand(arguments.url) as hand:
        hand.create()
        hand.connection.execute("CREATE TABLE place (continuation text)")
        database = client.get_database_client(arguments.database)
        container = database.get_container_client(arguments.container)
        pages = container.query_items_change_feed(start_time="Beginning").by_page()
        for page in pages:
            documents = list(page)
            if not documents:
                break
            for document in documents:
                hand.write(document, totals=arguments.totals)
            hand.connection.execute("DELETE FROM place")
            hand.connection.execute("INSERT INTO place VALUES (%s)", [pages.continuation_token])
            hand.connection.commit()
            done += len(documents)
        if arguments.totals:
            hand.check()
    return done


def main() -> None:
    """Run it; print how many documents were copied."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("endpoint", "key", "database", "container", "url"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--totals", action="store_true")
    print(copy_feed(parser.parse_args()))


if __name__ == "__main__":
    main()
