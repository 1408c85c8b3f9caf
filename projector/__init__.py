"""Keeps a PostgreSQL copy of an Azure Cosmos DB container exactly right, live.

The package root holds nothing: import from the modules below it. What may import what is a
contract checked by import-linter; see `pyproject.toml`.
"""
