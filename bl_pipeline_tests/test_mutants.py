"""The faults that a mutation run plants."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bl_pipeline_tests import mutation_run
from bl_pipeline_tests.support.mutants import mutants_of
from bl_pipeline_tests.support.recorded_lines import IMPORT, RecordedTest, Recording, digest, lines_of

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
-- A comment
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
    """In all of the statement. Planted: what is before the last comment taken for the header."""
    expected = {
        "3: 'min(' -> 'max('",
        "4: 'store = :store AND' -> ''",
        "4: '>' -> '>='",
        "5: '<>' -> '='",
        "7: 'DESC' -> 'ASC'",
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


SOURCE = b"""LIMIT = 3
class Rows:
    most: int = 4
    def pick(
        self, least: int = 5
    ) -> bool:
        return (
            self.most > 6
        )
"""


@pytest.mark.parametrize(
    ("constant", "names", "lines"),
    [("3", {"LIMIT"}, {1}), ("4", {"Rows", "most"}, {3}), ("5", set(), {7, 8, 9}), ("6", set(), {7, 8})],
)
def test_where_a_fault_runs(constant: str, names: set[str], lines: set[int]) -> None:
    """A statement runs from its first line on, a default with the body, a constant where its name is."""
    start = SOURCE.index(b" " + constant.encode()) + 1
    assert lines_of(SOURCE, start, start + 1) == (frozenset(names), frozenset(lines))


def test_the_tests_that_run_through_a_fault_come_the_quickest_first(tmp_path: Path) -> None:
    (tmp_path / "rows.py").write_bytes(SOURCE)
    (tmp_path / "user.py").write_bytes(b"from rows import LIMIT\n\ndef most() -> int:\n    return LIMIT\n")
    tests = {
        "slow": RecordedTest(2.0, {"rows.py": frozenset({7, 8})}),
        "quick": RecordedTest(1.0, {"rows.py": frozenset({7})}),
        "user": RecordedTest(3.0, {"user.py": frozenset({4})}),
    }
    sources = {name: digest((tmp_path / name).read_bytes()) for name in ("rows.py", "user.py")}
    recording = Recording(sources, tests)

    def found(constant: bytes) -> list[str] | None:
        start = SOURCE.index(b" " + constant) + 1
        return recording.tests_of(tmp_path, "rows.py", start, start + 1)

    assert found(b"6") == ["quick", "slow"]
    assert found(b"3") == ["user"]
    assert found(b"4") == ["slow"]  # the line with the name, not the whole statement
    (tmp_path / "rows.py").write_bytes(SOURCE + b"# another\n")
    assert found(b"6") is None


TESTS = """
import pytest
from product.rows import made, used

@pytest.fixture(scope="module")
def rows():
    return made()

def test_first(rows):
    assert rows

def test_second(rows):
    assert used(rows)

def test_of_its_own():
    assert used([1])
"""


def test_what_a_fixture_runs_is_of_each_test_that_uses_it(tmp_path: Path) -> None:
    """Planted: only of the first, so that a fault is missed that only the second can notice."""
    rows = tmp_path / "product" / "rows.py"
    rows.parent.mkdir()
    rows.write_text("def made():\n    return [1]\n\ndef used(rows):\n    return len(rows)\n")
    (tmp_path / "test_rows.py").write_text(TESTS)
    run = (
        "import pytest\nfrom pathlib import Path\n"
        "from bl_pipeline_tests.support.recorded_lines import Recorder\n"
        "recorder = Recorder(Path.cwd(), ['product'], Path('recorded'))\n"
        "raise SystemExit(pytest.main(['-q', '-n', '0', '-p', 'no:cacheprovider', 'test_rows.py'], [recorder]))\n"
    )
    path = os.pathsep.join((str(tmp_path), str(mutation_run.PROJECT)))
    # Without the options and plugins of the pytest that runs this one.
    without = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    subprocess.run([sys.executable, "-c", run], cwd=tmp_path, env={**without, "PYTHONPATH": path}, check=True)
    recording = Recording.read(tmp_path / "recorded")
    found = {name.partition("::")[2]: test.lines["product/rows.py"] for name, test in recording.tests.items()}
    del found[IMPORT]
    assert found == {"test_first": {1, 2}, "test_second": {1, 2, 4, 5}, "test_of_its_own": {4, 5}}
