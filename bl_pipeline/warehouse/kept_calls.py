"""The calls of the last day while another warehouse takes the place of this one: they stay spent, for their API key."""

from __future__ import annotations

from collections.abc import Collection

from bl_pipeline.warehouse.usage import WINDOW

_CALLS, _RESERVATIONS, _SALT = "sync.api_calls", "sync.call_reservations", "sync.api_key_salt"
_OF_A_CALL = "store, run_id, started_at, finished_at, method, path, outcome"


class KeptCalls:
    """SQL of a restore: `keep` before the tables are dropped, `bring_back` once they are those of the backup.

    `there` are the tables of the warehouse, `restored` those of the backup; either may be of an older release. Before
    the ledger knew the API key of a call, calls had no key: then they count for every key.
    """

    def __init__(self, there: Collection[str], restored: Collection[str]) -> None:
        self.keep = self.bring_back = ""
        if _CALLS not in there or _CALLS not in restored:
            return
        has_keys = _SALT in there and _SALT in restored
        columns = f"{_OF_A_CALL}, key_hash, counted_at" if has_keys else _OF_A_CALL
        self.keep = _keep(columns, _RESERVATIONS in there) + (_KEEP_SALTS if has_keys else "")
        self.bring_back = _bring_back(columns, _RESERVATIONS in restored) + (_ADD_SALTS if has_keys else "")


def _keep(columns: str, has_reservations: bool) -> str:
    recent = f"started_at > now() - interval '{WINDOW.total_seconds():.0f} seconds'"
    calls = f"CREATE TEMPORARY TABLE kept_calls ON COMMIT DROP AS SELECT {columns} FROM {_CALLS} WHERE {recent};"
    # What is reserved and not noted is spent. The backup may have no table for it.
    reserved = f"""
        INSERT INTO pg_temp.kept_calls SELECT {columns} FROM (
            SELECT store, run_id, usable_until AS started_at, CAST(NULL AS timestamptz) AS finished_at,
                'unknown' AS method, 'unknown' AS path, CAST(NULL AS text) AS outcome, key_hash, counted_at
            FROM {_RESERVATIONS}, generate_series(1, calls)
        ) reserved WHERE {recent};
    """
    return calls + (reserved if has_reservations else "")


def _bring_back(columns: str, has_reservations: bool) -> str:
    known = f"""
        AND NOT EXISTS (
            SELECT FROM {_RESERVATIONS} r WHERE (r.store, r.run_id, r.usable_until) = (k.store, k.run_id, k.started_at)
        )
    """
    return f"""
        INSERT INTO {_CALLS} ({columns})
        SELECT {columns} FROM pg_temp.kept_calls k WHERE NOT EXISTS (
            SELECT FROM {_CALLS} c
            WHERE (c.store, c.run_id, c.started_at, c.path) = (k.store, k.run_id, k.started_at, k.path)
        ) {known if has_reservations else ""};
    """


_KEEP_SALTS = f"CREATE TEMPORARY TABLE kept_salts ON COMMIT DROP AS SELECT salt FROM {_SALT};"
# Hashed with the salts that were there before: the ledger knows a key with each salt that it has.
_ADD_SALTS = f"""
    UPDATE {_SALT} s SET salt = concat_ws(' ', s.salt, (
        SELECT string_agg(old, ' ') FROM pg_temp.kept_salts k, string_to_table(k.salt, ' ') old
        WHERE old <> ALL (string_to_array(s.salt, ' '))
    ));
"""
