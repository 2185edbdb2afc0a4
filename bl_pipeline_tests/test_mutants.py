"""The faults that a mutation run plants."""

from __future__ import annotations

import pytest

from bl_pipeline_tests import mutation_run
from bl_pipeline_tests.support.mutants import mutants_of

pytestmark = pytest.mark.slow

PYTHON = b"""
def pick(rows: list[int], most: int = 3) -> bool:
    print("k\xc3\xa4se")
    if rows and len(rows) < most:
        return not rows[0] == 7
    return True
"""
SQL = b"""-- Title
--
SELECT min(at) FROM t
WHERE store = :store AND b > 2
  AND a <> 1
ORDER BY at DESC
"""


def test_faults_of_python() -> None:
    found = [mutant.describe(PYTHON) for mutant in mutants_of("pick.py", PYTHON)]

    assert sorted(found) == sorted(
        [
            "2: '3' -> '4'",
            "3: 'print(\"k\xe4se\")' -> 'None'",
            "4: 'rows and len(rows) < most' -> '((rows))'",
            "4: 'rows and len(rows) < most' -> '((len(rows) < most))'",
            "4: '<' -> '<='",
            "5: 'not rows[0] == 7' -> '(rows[0] == 7)'",
            "5: '==' -> '!='",
            "5: '0' -> '1'",
            "5: '7' -> '8'",
            "6: 'True' -> 'False'",
        ]
    )


def test_faults_of_sql() -> None:
    expected = {
        "3: 'min(' -> 'max('",
        "4: 'store = :store AND' -> ''",
        "4: '>' -> '>='",
        "5: '<>' -> '='",
        "6: 'DESC' -> 'ASC'",
    }

    assert expected <= {mutant.describe(SQL) for mutant in mutants_of("report.sql", SQL)}
    query = b'QUERY = f"""' + SQL + b'"""\n'
    moved = {text.partition(": ")[2] for text in expected}
    assert moved <= {mutant.describe(query).partition(": ")[2] for mutant in mutants_of("query.py", query)}


def test_every_source_has_faults_and_tests() -> None:
    chosen = mutation_run.sources([])
    assert len(chosen) > 60
    for path in chosen:
        assert all((mutation_run.PROJECT / test).exists() for test in mutation_run.tests_for(path)), path
    changes = next(path for path in chosen if path.name == "changes.py")
    assert len(mutants_of(changes.name, changes.read_bytes())) > 50
