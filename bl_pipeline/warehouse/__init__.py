"""The warehouse in Postgres: tables, migrations, bulk load, queries, call ledger, backup."""
