"""Figures of the change feed processor: balancing of large fleets, idle cost, handover times.

`python -m benchmarks.processor fleet|idle|load|handover`; each prints a table that
docs/explanation/processor-figures.md quotes. Nothing here is part of the product.
"""

from __future__ import annotations
