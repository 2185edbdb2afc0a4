"""docs/data-dictionary.md: every relation and column, as the code has them."""

from __future__ import annotations

import re

from bl_pipeline.reports.files import read_reports
from bl_pipeline.warehouse.dictionary import FILE, dictionary
from bl_pipeline.warehouse.tables import metadata


def test_the_data_dictionary_is_current() -> None:
    assert FILE.read_text(encoding="utf-8") == dictionary(), "python -m bl_pipeline.warehouse.dictionary"


def test_the_data_dictionary_has_everything() -> None:
    page = dictionary()
    relations = [table.fullname for table in metadata.tables.values()]
    relations += [f"reports.{report.name}" for report in read_reports()]
    assert sorted(re.findall(r"^## (.*)$", page, re.MULTILINE)) == sorted(relations)
    columns = sum(len(table.columns) for table in metadata.tables.values())
    columns += sum(len(report.columns) for report in read_reports())
    assert len(re.findall(r"^\| `\w+` \|", page, re.MULTILINE)) == columns
    for schema, name in re.findall(r"\]\(#(reports|sales|books|landing|sync)(\w+)\)", page):
        assert f"{schema}.{name}" in relations
