"""The definition that this program projects by: whoever projects another container changes this line.

Settings and command line take their words from here. The first generation of every database is that of
carts, whatever a program projects: the baseline of the migrations made its tables.
"""

from __future__ import annotations

from projector.projection.carts import CARTS
from projector.projection.definition import Definition

DEFINITION: Definition = CARTS
