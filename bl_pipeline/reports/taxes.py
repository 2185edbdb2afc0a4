"""The tax settings that reports read: stored in `books`, as BL_TAX_FILE has them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, text

from bl_pipeline.tax_settings import TaxRate, TaxSettings


def set_taxes(connection: Connection, store: str, taxes: TaxSettings | None, now: datetime) -> None:
    """Set the tax settings of the store, in the caller's transaction; nothing is written if they are the same.

    Without settings nothing is assumed: reports say that all tax is unclear.
    """
    if read_taxes(connection, store) == taxes:
        return
    for table in ("tax_settings", "tax_rates"):
        connection.execute(text(f"DELETE FROM books.{table} WHERE store = :store"), {"store": store})
    if taxes is None:
        return
    connection.execute(
        text(
            """
            INSERT INTO books.tax_settings (store, home_country, vat_scheme, oss, vat_source, noted_at)
            VALUES (:store, :home, :scheme, :oss, :source, :now)
            """
        ),
        {
            "store": store,
            "home": taxes.home_country,
            "scheme": taxes.scheme,
            "oss": taxes.oss,
            "source": taxes.vat_source,
            "now": now,
        },
    )
    if taxes.rates:
        connection.execute(
            text(
                """
                INSERT INTO books.tax_rates (store, country_code, valid_from, rate)
                VALUES (:store, :country, :valid_from, :rate)
                """
            ),
            [
                {"store": store, "country": rate.country, "valid_from": rate.valid_from, "rate": rate.rate}
                for rate in taxes.rates
            ],
        )


def read_taxes(connection: Connection, store: str) -> TaxSettings | None:
    """The tax settings in force; None if there are none."""
    row = connection.execute(
        text("SELECT home_country, vat_scheme, oss, vat_source FROM books.tax_settings WHERE store = :store"),
        {"store": store},
    ).one_or_none()
    if row is None:
        return None
    rates = connection.execute(
        text(
            """
            SELECT country_code, rate, valid_from FROM books.tax_rates
            WHERE store = :store ORDER BY country_code COLLATE "C", valid_from
            """
        ),
        {"store": store},
    )
    return TaxSettings(
        row.home_country, row.vat_scheme, row.oss, row.vat_source, tuple(TaxRate(*rate) for rate in rates)
    )
