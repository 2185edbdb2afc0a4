"""What the pipeline needs of a Postgres and cannot set by itself: version, encoding, rights, and that it is writable.

Looked at when the warehouse is opened, before any API call is made, and by `bl doctor`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, text

from bl_pipeline.postgres.binaries import OLDEST

DAGSTER_SCHEMA = "dagster"
CONNECTIONS = 7
"""How many a sync has at most at a time: that of the lock, those of the engine, and those of Dagster's history."""
_READ = ("sync", "sales", "books", "reports")
_VIEWS = ("reports", "store_reports")
"""Nothing is inserted here: what is in them is made and dropped by its owner."""
_WRITTEN = ("sync", "landing", "sales", "books", *_VIEWS, DAGSTER_SCHEMA)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong and what it means; how to repair it, with the exact statement if there is one."""

    finding: str
    repair: str


POOLER = Problem(
    "A connection pooler (such as PgBouncer in transaction or statement mode) gives the sessions of the warehouse to "
    "others between two statements: the lock that keeps two syncs apart does not survive that, so no sync can run.",
    "Set pool_mode = session for this database in pgbouncer.ini and reload PgBouncer; or give the address of Postgres "
    "itself in BL_DATABASE_URL.",
)
SMALL_POOL = Problem(
    "The connection pooler has no connection left for us: query_wait_timeout. A sync has several at a time.",
    "Raise default_pool_size for this database in pgbouncer.ini (a sync may use ten more than "
    "BL_MAX_PARALLEL_REQUESTS) and reload PgBouncer; or give the address of Postgres itself in BL_DATABASE_URL.",
)


@dataclass(frozen=True, slots=True)
class Schema:
    """Our user's rights in one of our schemas. The lists name relations."""

    owner: str
    usage: bool = True
    create: bool = True
    unreadable: list[str] = field(default_factory=list)
    unwritable: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Server:
    """The setup of a database, as far as the pipeline depends on it.

    `version` is Postgres's number, such as 150004. `read_only_by` says how default_transaction_read_only was set:
    None if it is off, else a source as in pg_settings; `triggers_off_by` the same of session_replication_role.
    `unicode_locale` says whether the database's locale allows UTF8, `usual_case` whether it takes i and I for the same
    letter. `connections` is how many the user may have at a time, None if there is no limit. `schemas` are those of
    ours that exist; `owners` are other users that own something in them.
    """

    user: str
    database: str
    version: int
    version_name: str
    encoding: str = "UTF8"
    unicode_locale: bool = True
    usual_case: bool = True
    standby: bool = False
    read_only_by: str | None = None
    triggers_off_by: str | None = None
    connections: int | None = None
    may_create: bool = True
    may_make_temporary: bool = True
    schemas: dict[str, Schema] = field(default_factory=dict)
    owners: list[str] = field(default_factory=list)

    def reading_problems(self) -> list[Problem]:
        """What prevents every command."""
        problems = []
        if self.version // 10000 < OLDEST:
            problems.append(
                Problem(
                    f"The Postgres of the warehouse is version {self.version_name}, and {OLDEST} is the oldest that "
                    "works: an older one does not know all of the SQL.",
                    "Upgrade it, or unset BL_DATABASE_URL to use the embedded Postgres.",
                )
            )
        if self.encoding != "UTF8":
            locale = "" if self.unicode_locale else " LOCALE 'C'"
            problems.append(
                Problem(
                    f"The database {_quoted(self.database)} has the encoding {self.encoding}, and it must be UTF8: "
                    "names and remarks can have any character, and an order that has one could not be stored.",
                    "Make another database, and give its name in BL_DATABASE_URL. As a superuser: CREATE DATABASE "
                    f"{_quoted(self.database + '_utf8')} OWNER {_quoted(self.user)} ENCODING 'UTF8'{locale} "
                    "TEMPLATE template0;",
                )
            )
        for name in _READ:
            schema = self.schemas.get(name)
            if schema and (not schema.usage or schema.unreadable):
                problems.append(
                    self._right(
                        f"may not read the tables in the schema {name}{_first(schema.unreadable)}: no command works",
                        schema.owner,
                        f"GRANT USAGE ON SCHEMA {name} TO {_quoted(self.user)}; "
                        f"GRANT SELECT ON ALL TABLES IN SCHEMA {name} TO {_quoted(self.user)};",
                    )
                )
        return problems

    def writing_problems(self) -> list[Problem]:
        """What prevents a sync, or the making of the tables."""
        if self.standby:
            return [
                Problem(
                    "The Postgres of the warehouse is a standby: it can be read, but nothing can be stored in it.",
                    "Give the address of the primary server in BL_DATABASE_URL.",
                )
            ]
        problems = []
        if self.read_only_by:
            problems.append(
                Problem(
                    "Transactions are read-only by default here (default_transaction_read_only is on): nothing can be "
                    "stored in the warehouse.",
                    self._reset("default_transaction_read_only", "off", self.read_only_by),
                )
            )
        if self.triggers_off_by:
            problems.append(
                Problem(
                    "Triggers are off here (session_replication_role is not origin): no order would be found in lists, "
                    "none would be booked, and nothing would guard the journal.",
                    self._reset("session_replication_role", "origin", self.triggers_off_by),
                )
            )
        if not self.usual_case:
            problems.append(
                Problem(
                    f"The locale of the database {_quoted(self.database)} has other small letters for I and other "
                    "capitals for i, as in Turkish: states, postal codes and names would not be found.",
                    "Make another database, and give its name in BL_DATABASE_URL. As a superuser: CREATE DATABASE "
                    f"{_quoted(self.database + '_c')} OWNER {_quoted(self.user)} ENCODING 'UTF8' LOCALE_PROVIDER libc "
                    "LOCALE 'C' TEMPLATE template0; What is stored moves with bl backup FILE before and bl restore "
                    "FILE afterwards.",
                )
            )
        if self.connections is not None and self.connections < CONNECTIONS:
            problems.append(
                Problem(
                    f"The user {_quoted(self.user)} may have {self.connections} connections to the database "
                    f"{_quoted(self.database)} at a time, and a sync needs {CONNECTIONS}.",
                    f"As a superuser: ALTER ROLE {_quoted(self.user)} CONNECTION LIMIT -1; ALTER DATABASE "
                    f"{_quoted(self.database)} CONNECTION LIMIT -1;",
                )
            )
        database, user = _quoted(self.database), _quoted(self.user)
        missing = [name for name in _WRITTEN if name not in self.schemas]
        if missing and not self.may_create:
            problems.append(
                self._right(
                    f"may not make schemas in the database {database}: there is no place for the tables "
                    f"({', '.join(missing)})",
                    "the database's owner",
                    f"GRANT CREATE ON DATABASE {database} TO {user};",
                )
            )
        if not self.may_make_temporary:
            problems.append(
                self._right(
                    f"may not make temporary tables in the database {database}: no order can be loaded",
                    "the database's owner",
                    f"GRANT TEMPORARY ON DATABASE {database} TO {user};",
                )
            )
        for name in _WRITTEN:
            schema = self.schemas.get(name)
            if schema is None:
                continue
            if not (schema.usage and schema.create):
                problems.append(
                    self._right(
                        f"may not use the schema {name}, or make tables in it: nothing can be stored there",
                        schema.owner,
                        f"GRANT USAGE, CREATE ON SCHEMA {name} TO {user};",
                    )
                )
            if schema.unwritable and name not in _VIEWS:
                problems.append(
                    self._right(
                        f"may not write the tables in the schema {name}{_first(schema.unwritable)}: nothing can be "
                        "stored there",
                        schema.owner,
                        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {name} TO {user}; "
                        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {name} TO {user};",
                    )
                )
        return problems

    def _right(self, what: str, grantor: str, statement: str) -> Problem:
        return Problem(f"The user {_quoted(self.user)} {what}.", f"As {grantor} or a superuser: {statement}")

    def _reset(self, setting: str, usual: str, source: str) -> str:
        """How to give a setting its usual value, by where it comes from."""
        database, user = _quoted(self.database), _quoted(self.user)
        reset = f"RESET {setting};"
        statements = {
            "database": f"ALTER DATABASE {database} {reset}",
            "user": f"ALTER ROLE {user} {reset}",
            "database user": f"ALTER ROLE {user} IN DATABASE {database} {reset}",
            "global": f"ALTER ROLE ALL {reset}",
        }
        if source == "client":
            return f"Take {setting} out of the options in BL_DATABASE_URL or PGOPTIONS."
        server = f"ALTER SYSTEM SET {setting} = {usual}; SELECT pg_reload_conf();"
        return f"If that is not meant so, as a superuser: {statements.get(source, server)}"


def look(connection: Connection) -> Server:
    """How the database of the connection is set up. Everybody may ask this, and nothing is changed."""
    row = connection.execute(
        text(
            """
            SELECT current_user AS user, datname AS database, current_setting('server_version_num')::int AS version,
                current_setting('server_version') AS version_name, pg_encoding_to_char(encoding) AS encoding,
                datcollate IN ('C', 'POSIX') OR datcollate ~* 'utf-?8' AS unicode_locale,
                lower('I') = 'i' AND upper('i') = 'I' AS usual_case,
                pg_is_in_recovery() AS standby,
                (SELECT source FROM pg_settings WHERE name = 'default_transaction_read_only' AND setting = 'on')
                    AS read_only_by,
                (SELECT source FROM pg_settings WHERE name = 'session_replication_role' AND setting <> 'origin')
                    AS triggers_off_by,
                (SELECT least(nullif(rolconnlimit, -1), nullif(datconnlimit, -1)) FROM pg_roles
                    WHERE rolname = current_user AND NOT rolsuper) AS connections,
                has_database_privilege(oid, 'CREATE') AS may_create,
                has_database_privilege(oid, 'TEMPORARY') AS may_make_temporary
            FROM pg_database WHERE datname = current_database()
            """
        )
    ).one()
    schemas = {
        name: Schema(*rights)
        for name, *rights in connection.execute(
            text(
                """
                SELECT nspname, quote_ident(pg_get_userbyid(nspowner)),
                    has_schema_privilege(n.oid, 'USAGE'), has_schema_privilege(n.oid, 'CREATE'),
                    coalesce(array_agg(relname::text ORDER BY relname) FILTER (
                        WHERE relkind <> 'S' AND NOT has_table_privilege(c.oid, 'SELECT')), '{}'),
                    coalesce(array_agg(relname::text ORDER BY relname) FILTER (
                        WHERE CASE WHEN relkind = 'S' THEN NOT (
                                has_sequence_privilege(c.oid, 'USAGE')
                                -- That of an identity column goes with its table.
                                OR EXISTS (SELECT FROM pg_depend WHERE objid = c.oid AND deptype = 'i'))
                            ELSE NOT (
                                has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
                                AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))
                            END), '{}')
                FROM pg_namespace n LEFT JOIN pg_class c ON relnamespace = n.oid AND relkind IN ('r', 'p', 'v', 'S')
                WHERE nspname = ANY(:schemas) GROUP BY n.oid
                """
            ),
            {"schemas": list(_WRITTEN)},
        )
    }
    owners = connection.scalars(
        text(
            """
            SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class
            WHERE relnamespace::regnamespace::text = ANY(:schemas) AND NOT pg_has_role(relowner, 'USAGE') ORDER BY 1
            """
        ),
        {"schemas": list(_WRITTEN)},
    ).all()
    values: dict[str, Any] = dict(row._mapping)
    return Server(**values, schemas=schemas, owners=list(owners))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _first(relations: list[str]) -> str:
    return f" ({relations[0]}{', ...' if len(relations) > 1 else ''})" if relations else ""
