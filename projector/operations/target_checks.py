"""The list of what a host needs of PostgreSQL: before the schema is made, and once it is there.

What a session must have set (encoding, search path, triggers) belongs to `before_schema`, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from projector.core.errors import SinkUnavailable
from projector.core.texts import duration
from projector.operations.checks import Check, Finding, doubt, fault, fine, skew
from projector.ports.copy import Blocker
from projector.ports.diagnosis import (
    Encryption,
    MissingRight,
    RoleLacking,
    SchemaLook,
    ServerFacts,
    TargetQuestions,
    Without,
)
from projector.ports.feed import Clock

GRANT_READER = (
    "GRANT USAGE ON SCHEMA {schema} TO {role};"
    " GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}"
)
SERVER = "PostgreSQL"
POOLER = "connection pooler"
RIGHTS = "PostgreSQL rights"
TABLES = "tables"
SHOWN = 5
INHERITS_EACH = 160000
ROLES = "roles"
UNDONE = {
    Without.MONTHS: "months of the history are neither made nor dropped",
    Without.DAYS: "days of the history are not taken",
    Without.PROMOTIONS: "no rebuild can be promoted",
}
WORTH_TELLING_SECONDS = 1.0
"""Hosts wait for each other for moments all the time."""


@dataclass(slots=True, kw_only=True)
class TargetChecks:
    """The checks of one database. What one check has asked, the next ones know."""

    ask: TargetQuestions
    clock: Clock
    reader_role: str
    processor_name: str
    _facts: ServerFacts | None = None
    _seen: tuple[SchemaLook, str] | None = None

    @property
    def revision(self) -> str | None:
        """That of the schema as it was found; None: there was none, or nobody looked yet."""
        return None if self._seen is None else self._seen[0].revision

    def before_schema(self) -> Sequence[Check]:
        """What a migration needs already."""
        return (
            Check(name=SERVER, look=self.server),
            Check(name="encryption", look=self.way, needs=(SERVER,)),
            Check(name=POOLER, look=self.pooler, needs=(SERVER,)),
            Check(name=RIGHTS, look=self.rights, needs=(SERVER,)),
            Check(name=TABLES, look=self.tables, needs=(SERVER, RIGHTS)),
        )

    def with_schema(self) -> Sequence[Check]:
        """What can be asked of a schema that is there."""
        return (
            Check(name="schema", look=self.schema, needs=(SERVER,)),
            Check(name="views", look=self.views, needs=(SERVER, TABLES)),
            Check(name=ROLES, look=self.roles, needs=(SERVER, TABLES)),
            Check(name="role of readers", look=self.reader, needs=(SERVER,)),
            Check(name="processor", look=self.strangers, needs=(SERVER, TABLES)),
            Check(name="locks", look=self.locks, needs=(SERVER,)),
        )

    async def server(self) -> Sequence[Finding]:
        """Version, name and clock; `embedded` where it is ours."""
        self._facts = None  # asked again while it takes no writes
        facts = await self._server()
        if facts.read_only:  # a standby becomes a primary: a host waits for that
            raise SinkUnavailable(
                "PostgreSQL takes no writes: name the primary in PROJECTOR_DATABASE_URL"
            )
        kind = "embedded, " if self.ask.embedded else ""
        return [
            fine(SERVER, f"{kind}{facts.version_text}, database {facts.database_name}"),
            skew("clock of PostgreSQL", self.clock.now(), facts.server_time),
        ]

    async def way(self) -> Sequence[Finding]:
        """What protects the way there, and whether everything that counts is awake."""
        found, _ = await self._look()
        told = [_encryption(found.encryption)]
        if found.asleep:
            told.append(fault("triggers", asleep(found.asleep), ""))
        return told

    async def pooler(self) -> Sequence[Finding]:
        """Whether two connections are two sessions of the server."""
        one, other, one_again, other_again = await self.ask.sessions()
        if one != other and (one, other) == (one_again, other_again):
            return [fine(POOLER, "none that changes sessions between transactions")]
        return [
            fault(
                POOLER,
                "sessions change between transactions: settings and locks would be somebody else's",
                "name the server itself in PROJECTOR_DATABASE_URL, or a pool in session mode",
            )
        ]

    async def rights(self) -> Sequence[Finding]:
        """What the database and its user allow."""
        facts = await self._server()
        current, _ = await self._versions()
        missing = _missing_rights(facts, migrated=current is not None)
        return [fault(RIGHTS, detail, remedy) for detail, remedy in missing] or [
            fine(RIGHTS, f"{facts.user_name} may do what is needed")
        ]

    async def tables(self) -> Sequence[Finding]:
        """Rights on our tables; before there are any, whether their schemas are free."""
        current, newest = await self._versions()
        if current is None:
            return await self._free()
        user = (await self._server()).user_name
        missing = await self.ask.missing_rights(current != newest)
        if not missing:
            return [fine(TABLES, f"{user} may read and write them")]
        told = ", ".join(f"{one.needed} on {one.name}" for one in missing[:SHOWN] if not one.owner)
        if told:
            rest = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
            return [fault(TABLES, f"{user} lacks {told}{rest}", _grant(user, _schemas_of(missing)))]
        owner = missing[0].needed
        return [
            fault(
                TABLES,
                f"the schema has to be brought up to date, and {missing[0].name} is {owner}'s",
                f"type projector db upgrade as {owner}",
            )
        ]

    async def schema(self) -> Sequence[Finding]:
        """Its version."""
        found, _ = await self._look()
        if found.dead_end is not None:
            return [fault("schema", *found.dead_end)]
        current, newest = await self._versions()
        if current == newest:
            return [fine("schema", f"at {current}, the newest")]
        return [
            doubt(
                "schema",
                f"at {current or 'nothing'}, the newest is {newest}",
                "projector run brings it up to date, or type: projector db upgrade",
            )
        ]

    async def views(self) -> Sequence[Finding]:
        """Whether the views of the contract are there."""
        if (await self._versions())[0] is None:
            return ()
        missing = await self.ask.missing_views()
        if not missing:
            return [fine("views", "they are there")]
        return [
            fault(
                "views",
                f"{', '.join(missing)} is no view of ours any more: it was dropped, or something else has its name",
                "put the views back from a backup, or copy into another database"
                " (PROJECTOR_DATABASE_URL)",
            )
        ]

    async def roles(self) -> Sequence[Finding]:
        """What the user's roles do not allow; hosts copy without it."""
        if len(set(await self._versions())) > 1:
            return ()
        facts = await self._server()
        found: dict[tuple[Without, str], list[RoleLacking]] = {}
        for one in await self.ask.roles_lacking():
            found.setdefault((one.without, one.role), []).append(one)
        return [
            doubt(
                ROLES,
                f"{UNDONE[without]}: {_whose(facts.user_name, of)}",
                _belong(facts, role or self.reader_role, member=of[0].member),
            )
            for (without, role), of in found.items()
        ]

    async def reader(self) -> Sequence[Finding]:
        """The role that analysts get."""
        role = self.reader_role
        facts = await self._server()
        name, grant = f"role {role}", GRANT_READER.format(schema=self.ask.views_schema, role=role)
        if facts.reader_may_read is False:
            return [doubt(name, "it may not read the views", grant)]
        if facts.reader_may_read and facts.reader_elsewhere:
            return [
                doubt(
                    name,
                    f"whoever is given it here also reads {', '.join(facts.reader_elsewhere)}, which"
                    " let it in, too: roles belong to the whole server",
                    "where the readers differ: set PROJECTOR_READER_ROLE to a name of its own for"
                    " this database and type: projector db upgrade",
                )
            ]
        if facts.reader_exists:
            return [fine(name, "it exists")]
        if facts.may_create_roles:
            return ()
        create = f"as an administrator: CREATE ROLE {role} NOLOGIN"
        migrated = (await self._versions())[0] is not None
        return [
            doubt(
                name,
                f"it does not exist, and {facts.user_name} may not create it",
                f"{create}; {grant}" if migrated else create,
            )
        ]

    async def strangers(self) -> Sequence[Finding]:
        """Two processors over one target take its ranges from each other: right, and slow."""
        if len(set(await self._versions())) > 1:
            return ()
        me = self.processor_name
        return [
            doubt(
                "processor",
                f"another one, {stranger.name}, opened ranges of this target at"
                f" {stranger.opened_at:%Y-%m-%d %H:%M:%S %Z}; this one is {me}",
                "two over one target hinder each other: give all hosts one PROJECTOR_PROCESSOR_NAME",
            )
            for stranger in await self.ask.strangers()
        ]

    async def locks(self) -> Sequence[Finding]:
        """Who keeps hosts waiting this moment."""
        return [
            doubt(
                "locks",
                f"{blocked_by(one)} has kept {one.waiting} sessions of ours waiting for"
                f" {duration(one.waited_seconds)}",
                f"let it end its transaction, or end it: SELECT pg_terminate_backend({one.pid})"
                if one.pid
                else "see pg_prepared_xacts, and end what was left: ROLLBACK PREPARED 'gid'",
            )
            for one in await self.ask.blockers()
            if one.waited_seconds >= WORTH_TELLING_SECONDS
        ]

    async def _server(self) -> ServerFacts:
        self._facts = self._facts or await self.ask.server()
        return self._facts

    async def _look(self) -> tuple[SchemaLook, str]:
        self._seen = self._seen or await self.ask.look()
        return self._seen

    async def _versions(self) -> tuple[str | None, str]:
        """The schema's version, None without one, and the newest."""
        found, newest = await self._look()
        return found.revision, newest

    async def _free(self) -> Sequence[Finding]:
        return [
            fault(
                TABLES,
                f"schema {one.schema} is there already and is not ours"
                + (f": it holds {one.relation}" if one.relation else ""),
                f'ALTER SCHEMA "{one.schema}" RENAME TO ..., or name another database in'
                " PROJECTOR_DATABASE_URL",
            )
            for one in await self.ask.taken_schemas()
        ] or [fine(TABLES, "none yet, and nothing stands in their place")]


def blocked_by(one: Blocker) -> str:
    """The session as a person finds it."""
    if not one.pid:
        return "a prepared transaction"
    name = f"{one.application or 'a program without a name'} of role {one.role or 'unknown'}"
    return f"the server's process {one.pid}, {name},"


def _encryption(found: Encryption) -> Finding:
    match found:
        case Encryption.LOCAL:
            return fine("encryption", "nothing leaves this machine")
        case Encryption.CHECKED:
            return fine("encryption", "TLS, and the certificate is checked")
        case Encryption.UNCHECKED:
            return fine(
                "encryption",
                "TLS; sslmode=verify-full&sslrootcert=system in the URL checks the certificate too",
            )
        case Encryption.NONE:
            return doubt(
                "encryption",
                "password and carts go in clear, as sslmode allows",
                "switch TLS on at the server",
            )


def _schemas_of(missing: Sequence[MissingRight]) -> Sequence[str]:
    """Where they are missing: a table is named with its schema."""
    return list(dict.fromkeys(one.name.removeprefix("schema ").split(".")[0] for one in missing))


def _whose(user: str, of: Sequence[RoleLacking]) -> str:
    first = of[0]
    if not first.role:
        return f"{user} may not read all views"
    rest = f" and {len(of) - 1} more are" if len(of) > 1 else " is"
    lacks = "does not act as that role" if first.member else "is no member of it"
    return f"{first.name}{rest} {first.role}'s, and {user} {lacks}"


def _belong(facts: ServerFacts, owner: str, *, member: bool) -> str:
    """What lets the user do all that the owner may; who inherits is said of each membership since 16."""
    if not member:
        return f'GRANT "{owner}" TO "{facts.user_name}"'
    if facts.server_version < INHERITS_EACH:
        return f'ALTER ROLE "{facts.user_name}" INHERIT'
    return f'GRANT "{owner}" TO "{facts.user_name}" WITH INHERIT TRUE'


def _grant(user: str, schemas: Sequence[str]) -> str:
    return "; ".join(
        f'GRANT USAGE ON SCHEMA {name} TO "{user}";'
        f' GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {name} TO "{user}";'
        f' GRANT USAGE ON ALL SEQUENCES IN SCHEMA {name} TO "{user}"'
        for name in schemas
    )


def _missing_rights(facts: ServerFacts, *, migrated: bool) -> list[tuple[str, str]]:
    """What the server or the user lacks, each with its remedy."""
    database_name, user = f'"{facts.database_name}"', f'"{facts.user_name}"'
    told = (
        (
            facts.encoding != "UTF8",
            f"its encoding is {facts.encoding}",
            "create the database with ENCODING 'UTF8'",
        ),
        (
            not facts.may_create_schemas and not migrated,
            f"{facts.user_name} may not create schemas",
            f"GRANT CREATE ON DATABASE {database_name} TO {user}",
        ),
        (
            not facts.may_create_temporary_tables,
            f"{facts.user_name} may not create temporary tables, which verify needs",
            f"GRANT TEMPORARY ON DATABASE {database_name} TO {user}",
        ),
    )
    return [(detail, remedy) for is_missing, detail, remedy in told if is_missing]


def asleep(triggers: Sequence[str]) -> str:
    """What to say of triggers that somebody switched off; as schema.table.trigger."""
    table, _, trigger = triggers[0].rpartition(".")
    # Those of foreign keys bear numbers, and only a superuser may switch them.
    name = "ALL" if trigger.startswith("RI_ConstraintTrigger") else trigger
    return (
        f"a trigger that the copy relies on is switched off ({', '.join(triggers)}): totals would be"
        f" wrong; switch it on: ALTER TABLE {table} ENABLE TRIGGER {name}"
    )
