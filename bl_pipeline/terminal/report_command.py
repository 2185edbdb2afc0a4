"""`bl report`: which report, of which period, and in which form."""

# ruff: noqa: PLC0415  (what a report needs is imported only for it, so that `bl --help` is quick)

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bl_pipeline.records import ExitCode
from bl_pipeline.reports.files import read_reports
from bl_pipeline.terminal.console import print_json, show, stderr
from bl_pipeline.terminal.encoding import readable
from bl_pipeline.terminal.failures import Refused
from bl_pipeline.terminal.reading import Json
from bl_pipeline.wording import plural


def report(
    name: Annotated[str | None, typer.Argument(help="Which one; none lists them.", show_default=False)] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="DATE", help="From this year, month or day on, such as 2026-03, in the store's time zone."
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="DATE", help="Up to the end of this year, month or day.")
    ] = None,
    currency: Annotated[str | None, typer.Option(help="Only this currency, such as EUR.")] = None,
    basis: Annotated[
        str | None,
        typer.Option(
            help="Which date counts: order_date, paid_date, shipped_date or tax_point. Without it the table and the "
            "picture are by order date, of tax_return by tax point, and CSV and JSON have all four."
        ),
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of",
            metavar="MOMENT",
            help="As the warehouse knew it at the end of this day, month or year, or at a time: 2026-03-14T09:30Z.",
        ),
    ] = None,
    csv_file: Annotated[
        Path | None,
        typer.Option(
            "--csv",
            metavar="FILE",
            help="Write all rows as CSV, amounts exact, into this file, which is replaced; - is standard output.",
        ),
    ] = None,
    png_file: Annotated[
        Path | None, typer.Option("--png", metavar="FILE", help="Draw it into this PNG file, which is replaced.")
    ] = None,
    as_json: Json = False,
) -> None:
    """A revenue report as a table, CSV, JSON or a picture; without a name, what reports there are."""
    from bl_pipeline.questions import QuestionError
    from bl_pipeline.settings import load_settings
    from bl_pipeline.terminal import reports

    if (csv_file is not None) + (png_file is not None) + as_json > 1:
        raise Refused("Ask for one of --csv, --png and --json at a time.")
    if name is None:
        if any(option is not None for option in (since, until, currency, basis, as_of, csv_file, png_file)):
            raise Refused("Which report? Without a name, bl report lists them all.")
        found = read_reports()
        print_json(reports.list_json(found)) if as_json else show(reports.list_view(found), whole=True)
        return
    currency = readable(currency) if currency else None
    to_look_at = csv_file is None and not as_json
    wanted = reports.Wanted(name, since, until, currency, basis, as_of, to_look_at=to_look_at)
    try:
        rows, said = wanted.read(load_settings())
        if as_json:
            print_json(reports.report_json(rows))
        elif csv_file is not None:
            reports.save_csv(rows, csv_file)
            if str(csv_file) != "-":
                stderr().print(f"Wrote {plural(len(rows.rows), 'row')} to {csv_file}")
        elif png_file is not None:
            reports.save_png(rows, png_file)
            stderr().print(f"Wrote a picture to {png_file}")
        else:
            show(reports.report_view(rows))
    except QuestionError as error:
        raise Refused(str(error)) from None
    except OSError as error:
        if error.filename is None:
            raise  # of standard output
        raise Refused(f"{error.filename}: {error.strerror}", ExitCode.OTHER) from None
    if (as_json or csv_file is not None) and basis is None and rows.report.has("basis") and rows.rows:
        stderr().print(
            "Every order is in these rows once for each basis (order_date, paid_date, shipped_date, tax_point). Before "
            "adding up, filter on one, or ask for it with --basis.",
            style="dim",
            soft_wrap=True,
        )
    is_table = to_look_at and png_file is None
    if not is_table and rows.completeness and not rows.completeness.is_complete:
        stderr().print(rows.completeness.in_words(rows.timezone), style="dim", soft_wrap=True)
    if said:
        stderr().print(said, style="dim")
