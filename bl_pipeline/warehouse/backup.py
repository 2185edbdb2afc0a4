"""The whole warehouse as one file, and back: a zip of a plain dump of pg_dump, and a manifest of what it contains.

`pg_dump` and the manifest see one snapshot, so a backup is whole while syncs go on. A restore is one transaction: the
old schemas are dropped, the dump is loaded, and its counts and sums are compared with the manifest before it is
committed. Whatever fails, and whenever the process dies, the old data are there as they were.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import zipfile
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL

from bl_pipeline.clock import utc_now
from bl_pipeline.postgres.binaries import installed, major
from bl_pipeline.postgres.dumps import portable
from bl_pipeline.postgres.programs import Program, access, run_program
from bl_pipeline.warehouse import tables
from bl_pipeline.warehouse.connections import conninfo_of, open_connection, session_statement
from bl_pipeline.warehouse.database import NothingStored, known_revisions
from bl_pipeline.warehouse.kept_calls import KeptCalls
from bl_pipeline.warehouse.new_file import new_file

SCHEMAS = (*tables.SCHEMAS, "dagster")
"""What a backup has in it: the warehouse, and the history of its runs."""

_MANIFEST, _DUMP = "manifest.json", "warehouse.dump"
_FORMAT = 1
_CHUNK = 1 << 20
_LOCK_TIMEOUT = timedelta(minutes=1)


class BackupError(Exception):
    """No backup was made, or none was restored; the message says why and what to do."""


@dataclass(frozen=True)
class Manifest:
    """What a backup contains: rows by table, and the sums of orders and items by store and currency."""

    made_at: str
    postgres: str
    dumped_with: str
    revision: str
    contents: dict[str, Any] = field(default_factory=dict)
    format: int = _FORMAT

    @property
    def rows(self) -> dict[str, int]:
        """Rows by table, named with its schema."""
        return dict(self.contents["rows"])

    @property
    def stores(self) -> list[str]:
        """The stores that have orders in it."""
        return sorted({store for store, _, _ in self.orders})

    @property
    def orders(self) -> list[tuple[str, str, str]]:
        """Store, currency, and the sum of the totals of its orders."""
        return [(store, currency, amount) for store, currency, amount in self.contents["orders"]]


def _contents(names: Iterable[str]) -> str:
    """A query for what these tables contain, as one jsonb: Postgres computes whatever is compared."""
    # Row by row: a function takes at most a hundred arguments.
    rows = " UNION ALL ".join(f"SELECT '{name}' AS name, count(*) AS rows FROM {name}" for name in sorted(names))
    sums = ", ".join(
        f"""'{kind}', (
            SELECT coalesce(jsonb_agg(jsonb_build_array(store, currency, amount::text) ORDER BY store, currency), '[]')
            FROM (SELECT store, currency, sum({column}) AS amount FROM {table} GROUP BY 1, 2) sums
        )"""
        for kind, table, column in (
            ("orders", "sales.orders", "total"),
            ("items", "sales.order_items", "total_price"),
        )
    )
    return f"SELECT jsonb_build_object('rows', (SELECT jsonb_object_agg(name, rows) FROM ({rows}) counted), {sums})"


def _tables(connection: psycopg.Connection[Any]) -> list[str]:
    rows = connection.execute(
        """
        SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind = 'r' AND n.nspname = ANY(%s)
        """,
        [list(SCHEMAS)],
    )
    return [name for (name,) in rows]


def back_up(url: URL, file: Path, *, binaries: Path | None) -> Manifest:
    """Write the warehouse at `url` into a new file, readable by its owner only.

    `binaries` is the folder of pg_dump; without it, it is looked for as the embedded server's programs are. Raises
    NothingStored if there are no tables, and BackupError if the file is there already, or pg_dump is too old or fails.
    """
    _refuse_to_overwrite(file)
    with ExitStack() as stack:
        connection = stack.enter_context(open_connection(url))
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        names = _tables(connection)
        if "sync.alembic_version" not in names:
            raise NothingStored
        server = connection.info.server_version // 10000
        folder, version = _programs(binaries, at_least=server)
        snapshot = connection.execute("SELECT pg_export_snapshot()").fetchone()
        revision = connection.execute("SELECT version_num FROM sync.alembic_version").fetchone()
        contents = connection.execute(_contents(names)).fetchone()
        assert snapshot
        assert revision
        assert contents
        manifest = Manifest(
            made_at=utc_now().isoformat(timespec="seconds"),
            postgres=str(connection.info.parameter_status("server_version")),
            dumped_with=version,
            revision=revision[0],
            contents=contents[0],
        )
        conninfo, environment = access(conninfo_of(url))
        dump = stack.enter_context(
            run_program(
                [
                    str(folder / "pg_dump"),
                    "--format=custom",
                    "--encoding=UTF8",  # a setting of the role or the database may ask for one that lacks letters
                    "--no-password",
                    f"--snapshot={snapshot[0]}",
                    *(f"--schema={schema}" for schema in SCHEMAS),
                    f"--dbname={conninfo}",
                ],
                environment,
                stdout=subprocess.PIPE,
            )
        )
        try:
            written = stack.enter_context(new_file(file, check=lambda: _refuse_to_overwrite(file)))
        except OSError as error:
            raise BackupError(f"No file can be made in {file.parent}: {error.strerror}. No backup was made.") from None
        with zipfile.ZipFile(written, "w") as archive:
            with archive.open(_DUMP, "w", force_zip64=True) as into:
                shutil.copyfileobj(dump.stdout, into, _CHUNK)
            if dump.wait() != 0:
                raise BackupError(f"pg_dump failed, and no backup was made: {dump.complaint()}")
            archive.writestr(_MANIFEST, json.dumps(asdict(manifest), indent=2))
    return manifest


def read_manifest(file: Path) -> Manifest:
    """What a backup contains. Raises BackupError if the file is no backup, or of a newer bl_pipeline."""
    if file.exists() and not file.is_file():  # a device may never end
        raise BackupError(f"{file} is no file. Nothing was changed.")
    try:
        with zipfile.ZipFile(file) as archive:
            values = json.loads(archive.read(_MANIFEST))
            archive.getinfo(_DUMP)
        if values["format"] != _FORMAT:
            raise BackupError(f"{file} was made by a newer bl_pipeline. Nothing was changed; update this installation.")
        manifest = Manifest(**values)
    except OSError as error:
        raise BackupError(f"{file} cannot be read: {error.strerror or error}. Nothing was changed.") from None
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError):
        raise BackupError(
            f"{file} is no complete backup of bl_pipeline: it is damaged, cut off, or of another kind. Nothing was "
            "changed.\nA dump that was made with pg_dump itself is restored with pg_restore: see docs/operating.md"
        ) from None
    if manifest.revision not in known_revisions():
        raise BackupError(
            f"{file} was made by a newer bl_pipeline (revision {manifest.revision}). Nothing was changed; update this "
            "installation."
        )
    return manifest


@dataclass(frozen=True)
class Target:
    """What a database has before a restore: stores with orders, rows, and what is the user's own and would be lost.

    `dependents` are views that read the warehouse, tables that refer to it, and other tables in its schemas.
    """

    stores: list[str]
    has_data: bool
    dependents: list[str]


def look_at_target(url: URL) -> Target:
    """What a restore would replace."""
    with open_connection(url) as connection:
        names = _tables(connection)
        stores: set[str] = set()
        has_data = False
        for name in ("landing.documents", "sales.orders", "sync.order_state"):
            if name in names:
                found = connection.execute(f"SELECT DISTINCT store FROM {name}").fetchall()
                stores.update(store for (store,) in found)
                has_data = has_data or bool(found)
        dependents = connection.execute(
            """
            SELECT DISTINCT format('%%I.%%I', vn.nspname, v.relname) FROM pg_depend d
            JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
            JOIN pg_class v ON v.oid = r.ev_class JOIN pg_namespace vn ON vn.oid = v.relnamespace
            JOIN pg_class t ON t.oid = d.refobjid AND d.refclassid = 'pg_class'::regclass
            JOIN pg_namespace tn ON tn.oid = t.relnamespace
            WHERE tn.nspname = ANY(%(schemas)s) AND NOT vn.nspname = ANY(%(schemas)s)
            UNION
            SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_constraint k
            JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            JOIN pg_class t ON t.oid = k.confrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace
            WHERE k.contype = 'f' AND tn.nspname = ANY(%(schemas)s) AND NOT n.nspname = ANY(%(schemas)s)
            UNION
            SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY(%(own)s)
              AND NOT n.nspname || '.' || c.relname = ANY(%(known)s)
            ORDER BY 1
            """,
            {
                "schemas": list(SCHEMAS),
                "own": list(tables.SCHEMAS),
                "known": [*tables.metadata.tables, "sync.alembic_version"],
            },
        )
        return Target(sorted(stores), has_data, [name for (name,) in dependents])


def restore(url: URL, file: Path, *, binaries: Path | None) -> Manifest:
    """Replace the warehouse at `url` by the backup, and check its counts and sums; returns what was checked.

    Calls of the last day that the backup does not know stay in the ledger: they are spent, for their API key. The
    caller has checked that no sync runs, and that what is there may be replaced. Raises BackupError, and has changed
    nothing, if anything fails.
    """
    manifest = read_manifest(file)
    folder, _ = _programs(binaries, at_least=major(manifest.dumped_with))
    conninfo, environment = access(conninfo_of(url))
    with open_connection(url) as connection:
        kept = KeptCalls({*_tables(connection)}, {*manifest.rows})
        set_up = session_statement(connection.info.server_version)
    with ExitStack() as stack:
        archive = stack.enter_context(zipfile.ZipFile(file))
        psql = stack.enter_context(
            run_program(
                [str(folder / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=terse", conninfo],
                {**environment, "PGCLIENTENCODING": "UTF8"},
                stdin=subprocess.PIPE,
            )
        )
        reader = stack.enter_context(
            run_program(
                [str(folder / "pg_restore"), "--no-owner", "--no-privileges", "--file=-"],
                environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        )
        try:
            psql.write(f"{set_up};\n")
            psql.write(_before(kept))
            damage = _feed(archive, reader)
            psql.stdin.writelines(portable(reader.stdout))
            if damage() or reader.wait() != 0:
                raise BackupError(
                    f"{file} is damaged, and was not restored: {damage() or reader.complaint()}\n"
                    "What was there is unchanged. Use another backup."
                )
            psql.write(_after(manifest, kept))
        except BrokenPipeError:
            pass  # psql has given up, and says why
        psql.stdin.close()
        if psql.wait() != 0:
            raise BackupError(f"The backup was not restored: {psql.complaint()}\nWhat was there is unchanged.")
    return manifest


def _before(kept: KeptCalls) -> str:
    return f"""
        BEGIN;
        SET LOCAL lock_timeout = '{_LOCK_TIMEOUT.total_seconds():.0f}s';
        {kept.keep}
        DROP SCHEMA IF EXISTS {", ".join(SCHEMAS)} CASCADE;
    """


def _after(manifest: Manifest, kept: KeptCalls) -> str:
    expected = sql.Literal(json.dumps(manifest.contents)).as_string()
    return f"""
        DO $check$ BEGIN
            IF ({_contents(manifest.rows)}) <> {expected}::jsonb THEN
                RAISE EXCEPTION 'counts or sums differ from those of the backup';
            END IF;
        END $check$;
        {kept.bring_back}
        -- Postgres knows nothing of new tables for a minute or two, and would plan badly for a large store.
        ANALYZE {", ".join(sorted(manifest.rows))};
        COMMIT;
    """


def _feed(archive: zipfile.ZipFile, reader: Program) -> Any:
    """Write the dump to pg_restore, in a thread; call the returned function afterwards for what was wrong with it."""
    wrong: list[str] = []

    def feed() -> None:
        try:
            with archive.open(_DUMP) as dump:
                shutil.copyfileobj(dump, reader.stdin, _CHUNK)  # raises at the end if the checksum is wrong
        except BrokenPipeError:
            pass  # pg_restore has given up, and says why
        except (zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
            wrong.append(str(error))
        finally:
            with suppress(OSError):
                reader.stdin.close()

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()

    def result() -> str:
        thread.join()
        return "; ".join(wrong)

    return result


def _programs(binaries: Path | None, *, at_least: int) -> tuple[Path, str]:
    """The folder of pg_dump, pg_restore and psql that know this version of Postgres, and their version."""
    others = []
    for folder, version in installed(binaries):
        if major(version) >= at_least and all((folder / name).exists() for name in ("pg_dump", "pg_restore", "psql")):
            return folder, version
        others.append(f"{version} in {folder}")
    raise BackupError(
        f"This takes pg_dump, pg_restore and psql of PostgreSQL {at_least} or newer, and there is only "
        f"{', '.join(others) or 'none'}. Nothing was changed.\n"
        f"Install the client programs of PostgreSQL {at_least}, and set BL_POSTGRES_BIN to their folder"
        + ("." if binaries is None else ", or unset BL_POSTGRES_BIN to use those that come with bl_pipeline.")
    )


def _refuse_to_overwrite(file: Path) -> None:
    if file.exists() or file.is_symlink():
        raise BackupError(f"{file} is there already, and is left as it is. Give the name of a new file.")
