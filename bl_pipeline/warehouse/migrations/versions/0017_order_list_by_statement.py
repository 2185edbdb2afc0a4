"""sales.order_search is kept by one statement for all rows that a statement has written, and not by one for each."""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_KEY = ("store", "platform", "platform_order_id")
_SAME = (
    "order_date", "status", "platform_status", "currency", "total", "country_code", "payment_status", "paid_at",
    "shipped_at", "status_changed_at",
)  # fmt: skip
_WORDS = ("display_id", "buyer_name", "buyer_username", "buyer_email", "tracking_number")


def _of(table: str, names: tuple[str, ...]) -> str:
    return ", ".join(f"{table}.{name}" for name in names)


def upgrade() -> None:
    """Apply; what the table has stays."""
    written = ("words", *_SAME, "buyer")
    row = (
        f"{_of('n', _KEY)}, sales.plain_text(concat_ws(' ', {_of('n', _WORDS)})), {_of('n', _SAME)}, "
        "lower(coalesce(n.buyer_name, n.buyer_username))"
    )
    op.execute("DROP TRIGGER keep_order_search ON sales.orders")
    op.execute(
        f"""
        CREATE OR REPLACE FUNCTION sales.keep_order_search() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'DELETE' THEN
                DELETE FROM sales.order_search s USING old_rows o WHERE ({_of("s", _KEY)}) = ({_of("o", _KEY)});
            ELSE
                INSERT INTO sales.order_search AS s ({", ".join((*_KEY, *written))})
                SELECT {row} FROM new_rows n
                ON CONFLICT (store, platform, platform_order_id) DO UPDATE
                SET ({", ".join(written)}) = ROW ({_of("excluded", written)})
                WHERE s.* IS DISTINCT FROM excluded.*;
            END IF;
            RETURN NULL;
        END
        $$
        """
    )
    for event, rows in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
        op.execute(
            f"CREATE TRIGGER keep_order_search_{event.lower()} AFTER {event} ON sales.orders "
            f"REFERENCING {rows} TABLE AS {rows.lower()}_rows FOR EACH STATEMENT "
            "EXECUTE FUNCTION sales.keep_order_search()"
        )
    # Only bl rename-store gives an order another key. Row by row, as Postgres may join the rows of a statement with
    # those of a table in hours; it does this before it fires the triggers above.
    op.execute(
        f"""
        CREATE FUNCTION sales.forget_order_search() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            DELETE FROM sales.order_search s WHERE ({_of("s", _KEY)}) = ({_of("OLD", _KEY)});
            RETURN NULL;
        END
        $$
        """
    )
    op.execute(
        "CREATE TRIGGER forget_order_search AFTER UPDATE OF store, platform, platform_order_id ON sales.orders "
        f"FOR EACH ROW WHEN (({_of('OLD', _KEY)}) IS DISTINCT FROM ({_of('NEW', _KEY)})) "
        "EXECUTE FUNCTION sales.forget_order_search()"
    )
