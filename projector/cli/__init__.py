"""The command line: every command of the product, each a thin shell over `projector.wiring`."""

from __future__ import annotations

from projector.cli.app import main

__all__ = ["main"]
