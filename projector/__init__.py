"""Keeps a PostgreSQL copy of an Azure Cosmos DB container exactly right, live.

The package root holds its version and nothing else: import from the modules below it. What may import what is a
contract checked by import-linter; see `pyproject.toml`.
"""

from __future__ import annotations

__version__ = "0.1.0"
