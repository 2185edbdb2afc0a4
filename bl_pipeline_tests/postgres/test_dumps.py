"""What is taken out of the script of a dump, and that nothing else is."""

from __future__ import annotations

from collections.abc import Iterator

from bl_pipeline.postgres.dumps import portable

_KEPT = [
    b"SET statement_timeout = 0;\n",
    b"CREATE TABLE sales.orders (\n",
    b"    id integer\n",
    b");\n",
    b"CREATE FUNCTION mine() RETURNS void LANGUAGE sql AS $$\n",
    b"SET transaction_timeout = 5;\n",
    b"$$;\n",
    b"ALTER TABLE ONLY sales.orders ALTER COLUMN id SET STATISTICS 10;\n",
    b"ALTER TABLE ONLY sales.orders ALTER COLUMN id SET (n_distinct=5);\n",
    b"COPY sales.orders (id, remarks) FROM stdin;\n",
    b"1\tSET transaction_timeout = 0;\n",
    b"SET transaction_timeout = 0;\n",
    b"ALTER TABLE ONLY a ALTER COLUMN x SET (pg_attver=5);\n",
    b"COPY a (x) FROM stdin;\n",
    b"\\\\.\n",
    b"\\.\n",
    b"\n",
    b"ALTER TABLE ONLY sales.orders ADD CONSTRAINT pk_orders PRIMARY KEY (id);\n",
]


def test_a_script_that_every_server_knows_stays_as_it_is() -> None:
    """Planted among the rows of a table: lines that are none of the script."""
    assert list(portable(_KEPT)) == _KEPT


def test_what_only_some_servers_know_is_left_out_at_any_place() -> None:
    """Caught: a backup of Postgres 15.20 could not be restored into 18.4."""
    left_out = [
        b"SET transaction_timeout = 0;\n",
        b"ALTER TABLE ONLY sales.orders ALTER COLUMN id SET (pg_attver=22161880);\n",
        b'ALTER TABLE ONLY sales."my orders" ALTER COLUMN "SET (" SET (pg_attver=1);\n',
        b"ALTER FOREIGN TABLE ONLY sales.orders ALTER COLUMN id SET (pg_attver=22161880);\n",
    ]
    assert list(portable(left_out + _KEPT + left_out + _KEPT)) == _KEPT + _KEPT


def test_other_options_of_a_column_are_kept() -> None:
    before, after = b"ALTER TABLE ONLY a ALTER COLUMN x SET (", b");\n"
    options = [b"pg_attver=7, n_distinct=5", b"n_distinct=5, pg_attver=7", b"n_distinct=5"]
    assert set(portable(before + each + after for each in options)) == {before + b"n_distinct=5" + after}


def test_a_dump_is_read_as_it_comes() -> None:
    """A large one does not fit into memory. Planted: a list of its lines."""
    read: list[bytes] = []

    def lines() -> Iterator[bytes]:
        for line in _KEPT:
            read.append(line)
            yield line

    for number, line in enumerate(portable(lines()), start=1):
        assert read == _KEPT[:number]
        assert line == _KEPT[number - 1]
