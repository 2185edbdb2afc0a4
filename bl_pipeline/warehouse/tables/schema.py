"""What all tables have in common: the metadata they belong to, and the kinds of columns that most of them have."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import BigInteger, Boolean, Column, MetaData, Text
from sqlalchemy.dialects.postgresql import TIMESTAMP

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)
SCHEMAS = ("landing", "sales", "sync", "books", "reports", "store_reports")
"""Every schema of the warehouse."""


def sql_list(words: Iterable[str]) -> str:
    """Words of this code as they stand in a list in SQL. A partial index is used for these, not for parameters."""
    return ", ".join(f"'{word}'" for word in words)


def text_column(name: str, comment: str, *, null: bool = True) -> Column[str]:
    """A text."""
    return Column(name, Text, nullable=null, comment=comment)


def time_column(name: str, comment: str, *, null: bool = True) -> Column[object]:
    """A moment in UTC."""
    return Column(name, TIMESTAMP(timezone=True), nullable=null, comment=comment)


def count_column(name: str, comment: str, *, null: bool = True) -> Column[int]:
    """A number, 64 bits."""
    return Column(name, BigInteger, nullable=null, comment=comment)


def flag_column(name: str, comment: str, *, null: bool = True) -> Column[bool]:
    """Yes or no."""
    return Column(name, Boolean, nullable=null, comment=comment)


def order_key(*, is_primary: bool = True) -> list[Column[str]]:
    """The columns that say which order it is; its key, or part of it, if `is_primary`."""
    comments = {
        "store": "Key of the store, from BL_STORE",
        "platform": "Where the order was placed: bricklink",
        "platform_order_id": "The order's id at the platform",
    }
    return [
        Column(name, Text, primary_key=is_primary, nullable=False, comment=comment)
        for name, comment in comments.items()
    ]
