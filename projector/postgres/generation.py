"""A generation: a projection's definition and the schema that holds it, filled."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override

from projector.projection.carts import CARTS
from projector.projection.definition import Definition


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """The tables of one filling of a definition; `schema` holds them and nothing else."""

    definition: Definition
    schema: str

    @override
    def __hash__(self) -> int:
        """What statements are kept by; the whole definition would be hashed for each batch."""
        return hash((self.definition.name, self.schema))

    @property
    def rows(self) -> str:
        """The qualified name of the table of rows."""
        return f"{self.schema}.{self.definition.rows}"

    def table(self, name: str) -> str:
        """The qualified name of one of its tables."""
        return f"{self.schema}.{name}"


FIRST_GENERATION = Generation(definition=CARTS, schema="projector_g1")
