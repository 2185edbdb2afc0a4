"""Which small faults in the product does no test notice? A development tool: `make mutants`, or

    python -m bl_pipeline_tests.mutation_run [--sample N] [--seed N] [PATH ...]

First it runs the quick tests of the areas once, to record which lines of the product each runs through; `--recording
FILE` keeps that for the next time. Then it plants one fault after the other in a copy of the project, and runs until
one fails: the quick tests that run through it, the quickest first, and then the slow ones of the area. The suite has to
pass beforehand. A fault takes some seconds, and one that no quick test notices some minutes, or none with `--quick`;
without a sample there are thousands. The exit code is 1 if any was not noticed.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import psycopg
import pytest

from bl_pipeline.postgres import embedded
from bl_pipeline_tests.support.forked_tests import ForkedTests, forked_tests
from bl_pipeline_tests.support.mutants import Mutant, mutants_of
from bl_pipeline_tests.support.recorded_lines import Recording, lines_of
from bl_pipeline_tests.support.servers import TEMPLATE, Postgres, memory_folder

PROJECT = Path(__file__).parent.parent
WHERE = (
    "bl_pipeline/rules", "bl_pipeline/sync", "bl_pipeline/warehouse", "bl_pipeline/defs", "bl_pipeline/bricklink",
    "sql",
)  # fmt: skip
OF_ALL_FILES = "bl_pipeline_tests/test_reprs.py"
_TIMES = itertools.count(int(time.time()) - 10**7)
LEFT_OUT = ("migrations", "__init__.py", "dictionary.py")
QUICK, SLOW = "not slow and not full", "slow and not full"
TESTS = {
    **{
        f"bl_pipeline/warehouse/{name}.py": [
            "terminal/test_backup.py", "terminal/test_damaged_backups.py", "terminal/test_export_command.py"
        ]
        for name in ("backup", "copying", "kept_calls", "new_file")
    },
    "bl_pipeline/warehouse/checks.py": ["defs/test_checks.py"],
    "bl_pipeline/warehouse/database.py": [
        "warehouse", "terminal/test_databases_refused.py", "terminal/test_databases.py",
        "terminal/test_reading_changes_nothing.py", "terminal/test_up.py",
    ],
    "bl_pipeline/warehouse/tables/": ["warehouse/test_tables.py", "warehouse/test_migrations.py"],
    "bl_pipeline/warehouse/schedule.py": ["desk/test_next_sync.py", "defs/test_schedule_state.py"],
    "bl_pipeline/sync/bookkeeping.py": ["sync/test_bookkeeping.py", "books/test_closing.py"],
    "bl_pipeline/sync/canceling.py": ["terminal/test_cancel_command.py", "reliability/test_cancel.py"],
    "bl_pipeline/sync/rebuild.py": ["sync/test_replaying.py", "reliability/test_rebuild.py"],
    "bl_pipeline/sync/unexpected.py": ["terminal/test_unexpected.py"],
    "bl_pipeline/rules/": [
        "rules", "sync/test_incremental.py", "reliability/test_edits.py", "reliability/test_full_sync.py",
        "reliability/test_rechecks.py",
        "defs/test_indicator.py", "terminal/test_planning.py", "terminal/test_state_words.py", "desk/test_order.py",
        "sync/test_replaying.py", "sync/test_planning.py",
    ],
    "bl_pipeline/bricklink/": [
        "bricklink", "rules/test_lists.py", "sync/test_replaying.py", "reliability/test_fuzz.py",
    ],
    "bl_pipeline/warehouse/": [
        "reliability/test_two_stores.py", "reliability/test_repair.py", "sync/test_incremental.py",
        "sync/test_purge.py", "reliability/test_run_rows.py", "reliability/test_full_sync.py",
        "reliability/test_times.py", "defs/test_failures.py", "warehouse",
    ],
    "bl_pipeline/sync/": [
        "reliability/test_two_stores.py", "reliability/test_run_rows.py", "sync", "reliability/test_faults.py",
        "reliability/test_lost_writes.py", "reliability/test_times.py", "reliability/test_rebuild.py",
        "reliability/test_full_sync.py", "reliability/test_rechecks.py", "reliability/test_budget.py",
        "reliability/test_cancel.py",
        "reliability/test_distributed.py",
    ],
    "bl_pipeline/defs/report_assets.py": [
        "reports/test_assets.py", "defs/test_sensors.py", "defs/test_several_stores.py",
    ],
    "bl_pipeline/defs/": [
        "reliability/test_two_stores.py", "reliability/test_run_rows.py", "defs", "reliability/test_rebuild.py",
        "reliability/test_full_sync.py", "reliability/test_rechecks.py", "reliability/test_budget.py",
        "reliability/test_cancel.py",
        "reliability/test_distributed.py", "reliability/test_terminate.py",
    ],
    "sql/": [
        "reports/test_report_files.py", "books/test_book_states.py", "books/test_period_changes.py",
        "reports/test_payments.py", "reports/test_open_orders.py", "reports/test_completeness.py",
        "reports/test_tax.py", "reports/test_adjustments.py", "reports/test_taxes.py",
        "reports/test_beside_another_store.py", "reports/test_against_the_store.py",
        "reports/test_properties.py", "reports/test_refunds.py", "books/test_journal.py",
        "reliability/test_two_stores.py",
    ],
}  # fmt: skip
"""Which tests are of which area, below bl_pipeline_tests/, the quickest to notice a fault first."""


def sources(asked: list[str]) -> list[Path]:
    """The files to plant faults in."""
    found: list[Path] = []
    for name in asked or WHERE:
        path = PROJECT / name
        found += [path] if path.is_file() else sorted([*path.rglob("*.py"), *path.rglob("*.sql")])
    return [path for path in found if not any(part in LEFT_OUT for part in path.relative_to(PROJECT).parts)]


def tests_for(path: Path) -> list[str]:
    """The tests of a file, those that mirror it first."""
    name = path.relative_to(PROJECT).as_posix()
    mirrored = f"{path.parent.name}/test_{path.stem}.py"
    tests = next(tests for area, tests in TESTS.items() if name.startswith(area))
    own = [mirrored] if (PROJECT / "bl_pipeline_tests" / mirrored).is_file() else []
    return [f"bl_pipeline_tests/{test}" for test in dict.fromkeys([*own, *tests])]


@contextmanager
def copied_project() -> Iterator[Path]:
    """A copy of what git knows of, with the changes of the working tree."""
    with tempfile.TemporaryDirectory(prefix="bl-pipeline-mutants-") as folder:
        names = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=PROJECT, check=True, capture_output=True, text=True,
        ).stdout.split("\0")  # fmt: skip
        for name in filter(None, names):
            target = Path(folder, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            if (PROJECT / name).is_file():
                shutil.copy(PROJECT / name, target)
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextmanager
def one_postgres() -> Iterator[Postgres]:
    """A server for all runs: to start one takes longer than most faults take to be noticed."""
    home = Path(tempfile.mkdtemp(prefix="bl-pipeline-tests-", dir=memory_folder()))
    home.chmod(0o711)
    try:
        with embedded.acquire(home) as lease:
            server = Postgres(lease.url)
            server.forget_at_a_crash()
            server.prepare()
            yield server
        embedded.wait_until_stopped(home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def fills_templates(path: Path) -> bool:
    """Whether a template could be filled in another way by a fault in this file: of the reports only one is loaded."""
    return path.suffix != ".sql" or path.stem == "book_states"


def forget_what_mutants_made(server: Postgres, path: Path | None) -> None:
    """Drop what a run has left, and the templates that it may have filled by means of the fault in this file."""
    made = ["test_%"]
    if path is not None and fills_templates(path):
        made.append("bl_pipeline_template_%")
    with psycopg.connect(server.admin_url, autocommit=True) as admin:
        names = admin.execute("SELECT datname FROM pg_database WHERE datname LIKE ANY(%s)", [made]).fetchall()
        for (name,) in names:
            assert name != TEMPLATE
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def arguments_of(marks: str) -> list[str]:
    """Those of pytest for tests with these marks until one fails; a test that hangs fails."""
    return ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--assert=plain", "--timeout=60", "-m", marks]


@dataclass(frozen=True)
class Tester:
    """Runs tests in a copy of the project."""

    folder: Path
    server: Postgres
    forked: ForkedTests
    timeout: float
    quick: bool
    recording: Recording | None = None

    def recorded(self, kept: Path) -> Tester:
        """The same with a recording of the tests of all areas, made if it is not kept already."""
        if not kept.is_file():
            say("The tests run once without a fault, to record which lines each runs through ...")
            tests = sorted({test for path in sources([]) for test in tests_for(path)})
            code = self.forked.run(arguments_of(QUICK)[1:], tests, 7200, kept, WHERE)
            if code != 0:
                say(f"Not every test passed without a fault: {self.forked.output.read_text()[-4000:]}")
            forget_what_mutants_made(self.server, None)
        return replace(self, recording=Recording.read(kept))

    def tests_through(self, path: Path, mutant: Mutant) -> list[str]:
        """The quick tests that run through a fault; those about the file too if it is not sure that these are all."""
        name = path.relative_to(PROJECT).as_posix()
        found = self.recording.tests_of(self.folder, name, mutant.start, mutant.end) if self.recording else None
        if found is None:
            return tests_for(path)
        constants, _ = lines_of((self.folder / name).read_bytes(), mutant.start, mutant.end)
        # If a constant is used without its name, as the default of a field is, no line shows it.
        return [*found, *([OF_ALL_FILES, *tests_for(path)] if constants else [])]

    def is_noticed(self, path: Path, mutant: Mutant) -> bool:
        """Whether a test fails with the fault in place, in the time there is."""
        quick = self.tests_through(path, mutant)
        target = self.folder / path.relative_to(PROJECT)
        right = target.read_bytes()
        target.write_bytes(mutant.apply(right))
        # Two faults in a second would have the same time, and the compiled file of the first would be run for both.
        os.utime(target, (next(_TIMES),) * 2)
        try:
            return self._fails(quick, QUICK) or (not self.quick and self._fails(tests_for(path), SLOW))
        finally:
            target.write_bytes(right)
            forget_what_mutants_made(self.server, path)

    def _fails(self, tests: list[str], marks: str) -> bool:
        if not tests:
            return False
        code = self.forked.run(arguments_of(marks), tests, self.timeout)
        return code not in (None, pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


@contextmanager
def tester(timeout: float, *, quick: bool) -> Iterator[Tester]:
    """All that runs of tests need."""
    with copied_project() as folder, one_postgres() as server:
        output = folder.with_suffix(".txt")
        try:
            with forked_tests(folder, {"BL_TEST_POSTGRES": server.admin_url}, output) as forked:
                yield Tester(folder, server, forked, timeout, quick)
        finally:
            output.unlink(missing_ok=True)
            folder.with_suffix(".json").unlink(missing_ok=True)


def say(line: str) -> None:
    """A line of the result, at once: a run takes hours."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Plant the faults, and say which were not noticed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("paths", nargs="*", metavar="PATH", help=f"files or folders; all of {', '.join(WHERE)} if none")
    parser.add_argument("--sample", type=int, metavar="N", help="only this number of faults, drawn at random")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="what the sample follows from")
    parser.add_argument(
        "--timeout", type=float, default=1800, metavar="SECONDS", help="for the tests of one fault, quick or slow"
    )
    parser.add_argument("--quick", action="store_true", help="without the tests that are marked slow")
    parser.add_argument("--recording", type=Path, metavar="FILE", help="keep in it which tests run through which lines")
    asked = parser.parse_args()
    paths = sources(asked.paths)
    faults = [(path, mutant) for path in paths for mutant in mutants_of(path.name, path.read_bytes())]
    chosen = faults if asked.sample is None else Random(asked.seed).sample(faults, min(asked.sample, len(faults)))
    say(f"{len(chosen)} of {len(faults)} faults")
    missed = 0
    with tester(asked.timeout, quick=asked.quick) as at_first:
        kept = asked.recording or at_first.folder.with_suffix(".json")
        testing = at_first.recorded(kept)
        for number, (path, mutant) in enumerate(chosen, start=1):
            began = time.monotonic()
            noticed = testing.is_noticed(path, mutant)
            missed += not noticed
            word = "noticed" if noticed else "MISSED "
            seconds = time.monotonic() - began
            # Of the copy: somebody may change the project meanwhile.
            name = path.relative_to(PROJECT)
            what = f"{name}:{mutant.describe((testing.folder / name).read_bytes())}"
            say(f"{number:4} {word} {seconds:4.0f} s  {what}")
    say(f"{len(chosen) - missed} of {len(chosen)} noticed")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
