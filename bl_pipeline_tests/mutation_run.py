"""Which small faults in the product does no test notice? A development tool: `make mutants`, or

    python -m bl_pipeline_tests.mutation_run [--sample N] [--seed N] [PATH ...]

It plants one fault after the other in a copy of the project, and runs the tests of that area until one fails. The
suite has to pass beforehand. Each fault takes a minute or so, and one that no test notices up to ten; without a sample
there are thousands. The exit code is 1 if any was not noticed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import psycopg

from bl_pipeline.postgres import embedded
from bl_pipeline_tests.conftest import TEMPLATE, Postgres
from bl_pipeline_tests.support.mutants import Mutant, mutants_of

PROJECT = Path(__file__).parent.parent
WHERE = (
    "bl_pipeline/rules", "bl_pipeline/sync", "bl_pipeline/warehouse", "bl_pipeline/defs", "bl_pipeline/bricklink",
    "sql",
)  # fmt: skip
LEFT_OUT = ("migrations", "__init__.py", "dictionary.py")
TESTS = {
    "bl_pipeline/warehouse/checks.py": ["defs/test_checks.py"],
    "bl_pipeline/rules/": [
        "rules", "sync/test_incremental.py", "reliability/test_edits.py", "reliability/test_full_sync.py",
    ],
    "bl_pipeline/bricklink/": ["bricklink", "reliability/test_fuzz.py"],
    "bl_pipeline/warehouse/": [
        "reliability/test_two_stores.py", "reliability/test_repair.py", "sync/test_incremental.py",
        "sync/test_purge.py", "reliability/test_run_rows.py", "reliability/test_full_sync.py",
        "defs/test_failures.py", "warehouse",
    ],
    "bl_pipeline/sync/": [
        "reliability/test_two_stores.py", "reliability/test_run_rows.py", "sync", "reliability/test_rebuild.py",
        "reliability/test_full_sync.py", "reliability/test_budget.py", "reliability/test_cancel.py",
    ],
    "bl_pipeline/defs/": [
        "reliability/test_two_stores.py", "reliability/test_run_rows.py", "defs", "reliability/test_rebuild.py",
        "reliability/test_full_sync.py", "reliability/test_budget.py", "reliability/test_cancel.py",
    ],
    "sql/": ["reports/test_against_the_store.py", "reports/test_properties.py", "reliability/test_two_stores.py"],
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
    home = Path(tempfile.mkdtemp(prefix="bl-pipeline-tests-"))
    home.chmod(0o711)
    try:
        with embedded.acquire(home) as lease:
            server = Postgres(lease.url)
            server.prepare()
            yield server
        embedded.wait_until_stopped(home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def forget_what_mutants_made(server: Postgres) -> None:
    """Drop the templates that a run has filled by means of the fault."""
    with psycopg.connect(server.admin_url, autocommit=True) as admin:
        names = admin.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE 'bl_pipeline_template_%' OR datname LIKE 'test_%'"
        ).fetchall()
        for (name,) in names:
            assert name != TEMPLATE
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def is_noticed(folder: Path, path: Path, mutant: Mutant, server: Postgres, timeout: float) -> bool:
    """Whether a test fails with the fault in place; one that makes a test hang is noticed, too."""
    target = folder / path.relative_to(PROJECT)
    right = target.read_bytes()
    target.write_bytes(mutant.apply(right))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
        "-m",
        "not full",
        *tests_for(path),
    ]
    environment = {**os.environ, "PYTHONPATH": str(folder), "BL_TEST_POSTGRES": server.admin_url}
    try:
        run = subprocess.run(command, cwd=folder, env=environment, timeout=timeout, check=False, capture_output=True)
    except subprocess.TimeoutExpired:
        return True
    finally:
        target.write_bytes(right)
        forget_what_mutants_made(server)
    return run.returncode != 0


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
    parser.add_argument("--timeout", type=float, default=1800, metavar="SECONDS", help="for the tests of one fault")
    asked = parser.parse_args()
    faults = [(path, mutant) for path in sources(asked.paths) for mutant in mutants_of(path.name, path.read_bytes())]
    chosen = faults if asked.sample is None else Random(asked.seed).sample(faults, min(asked.sample, len(faults)))
    say(f"{len(chosen)} of {len(faults)} faults")
    missed = 0
    with copied_project() as folder, one_postgres() as server:
        for number, (path, mutant) in enumerate(chosen, start=1):
            began = time.monotonic()
            noticed = is_noticed(folder, path, mutant, server, asked.timeout)
            missed += not noticed
            word = "noticed" if noticed else "MISSED "
            seconds = time.monotonic() - began
            what = f"{path.relative_to(PROJECT)}:{mutant.describe(path.read_bytes())}"
            say(f"{number:4} {word} {seconds:4.0f} s  {what}")
    say(f"{len(chosen) - missed} of {len(chosen)} noticed")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
