"""A dbt package as files: path -> text. It runs by itself, and as a package of another project."""

from __future__ import annotations

from collections.abc import Mapping

from projector.bi.marts import DAYS, described, marts, staging
from projector.bi.semantics import semantic_models
from projector.bi.sources import UNIQUE_TOGETHER, recounts, sources
from projector.bi.yaml import Value, yaml_text
from projector.postgres.generation import Generation
from projector.postgres.views import comment_of_schema, views_of
from projector.projection.definition import Definition

DAY_COLUMN = "date_day"

PROFILE = """\
# Where the copy is, as psql takes it. A login that has {role} and a schema of its own to build in:
#   projector bi grant dbt_{schema}
#   CREATE SCHEMA analytics AUTHORIZATION dbt_{schema};
#   ALTER ROLE dbt_{schema} IN DATABASE ... SET default_transaction_read_only = off;
{name}:
  target: dev
  outputs:
    dev:
      type: postgres
      host: "{{{{ env_var('PGHOST', 'localhost') }}}}"
      port: "{{{{ env_var('PGPORT', '5432') | as_number }}}}"
      user: "{{{{ env_var('PGUSER') }}}}"
      password: "{{{{ env_var('PGPASSWORD', '') }}}}"
      dbname: "{{{{ env_var('PGDATABASE') }}}}"
      schema: "{{{{ env_var('DBT_SCHEMA', 'analytics') }}}}"
      threads: 4
"""

README = """\
# {name}

Made by `projector bi dbt`, and made anew by it: what is changed here is lost then. Put your own models
into a project of your own and name this folder in its `packages.yml`:

```yaml
packages:
  - local: path/to/this/folder
```

By itself, with dbt-postgres 1.10 or newer and the surroundings of psql (PGHOST, PGUSER, ...):

```sh
dbt build            # tests of the sources, models, marts
dbt source freshness # how far the copy may be behind
mf query --metrics {metric} --group-by metric_time__day   # with dbt-metricflow
```

| Where | What |
|---|---|
| `models/sources.yml` | The views of schema `{schema}`: descriptions, tests, freshness. |
| `models/staging` | The views as models, which the semantic models stand on. |
| `models/marts` | Examples to copy. |
| `models/semantic_models.yml` | Entities, dimensions, measures and metrics for MetricFlow. |
| `tests` | Totals are recounts of the rows. |
"""


def files_of(generation: Generation) -> Mapping[str, str]:
    """The package of a generation's views."""
    definition = generation.definition
    name = f"projector_{definition.schema}"
    comment = comment_of_schema(definition)
    files = {
        "dbt_project.yml": yaml_text(_project(name)),
        "profiles.yml": PROFILE.format(
            name=name, role=definition.reader_role, schema=definition.schema
        ),
        "README.md": README.format(
            name=name, schema=definition.schema, metric=f"{definition.row_noun}s"
        ),
        "models/sources.yml": yaml_text(sources(definition, views_of(generation), comment)),
        "models/models.yml": yaml_text(_models(definition)),
        "models/semantic_models.yml": yaml_text(semantic_models(definition)),
        "models/staging/days.sql": DAYS,
        "tests/generic/unique_together.sql": UNIQUE_TOGETHER,
    }
    for folder, texts in (
        ("models/staging", staging(definition)),
        ("models/marts", marts(definition)),
        ("tests", recounts(definition)),
    ):
        files |= {f"{folder}/{each}.sql": text for each, text in texts.items()}
    return files


def _project(name: str) -> Mapping[str, Value]:
    return {
        "name": name,
        "version": "1.0.0",
        "config-version": 2,
        "profile": name,
        "require-dbt-version": ">=1.10.0",
        "models": {name: {"+materialized": "view"}},
    }


def _models(definition: Definition) -> Mapping[str, Value]:
    days: Mapping[str, Value] = {
        "name": "days",
        "description": "The days that MetricFlow counts by.",
        "time_spine": {"standard_granularity_column": DAY_COLUMN},
        "columns": [{"name": DAY_COLUMN, "granularity": "day"}],
    }
    described_marts: list[Value] = [
        {"name": mart, "description": described(definition, mart)} for mart in marts(definition)
    ]
    return {"version": 2, "models": [days, *described_marts]}
