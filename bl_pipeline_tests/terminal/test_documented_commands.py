"""Each command of `bl` that a document says to type, run as it is written there, on a store that was synced."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bl_pipeline.sandbox import Store
from bl_pipeline_tests.support.servers import Postgres
from bl_pipeline_tests.terminal.conftest import BL, Bl, expect, free_port
from bl_pipeline_tests.test_docs import COMMANDS, PAGES, PROJECT, commands_in, takes_a_value

pytestmark = pytest.mark.slow

SERVING = {
    "up": "The Dagster UI is at http://127.0.0.1:",
    "desk": "The orders desk is at http://",
    "sandbox": "# serving ",
}
"""Commands that go on until they are stopped, and what they say once they answer."""
ELSEWHERE = [["demo"], ["up", "--demo"]]
"""Whole worlds: they are run in test_demo.py."""
WORDS = {"FILE": "warehouse-2026-11-27.zip", "OLD": "main", "NEW": "shop", "2026-09": "2020-01"}


def documented() -> dict[str, list[str]]:
    """The commands, each once, in the order of the pages; those whose arguments are left out are only named there."""
    found = {" ".join(words): words for page in PAGES for words in commands_in(page) if page.name != "CHANGELOG.md"}
    return {
        text: words
        for text, words in found.items()
        if words not in ELSEWHERE
        and words[0] in COMMANDS
        and (words[1:] or not any(parameter.required for parameter in COMMANDS[words[0]].params))
        and words[-1] not in takes_a_value(words[0])
    }


@pytest.fixture
def fresh(postgres: Postgres) -> Iterator[str]:
    """A database without any tables."""
    with postgres.database() as url:
        yield url


def test_there_are_many() -> None:
    assert {words[0] for words in documented().values()} == set(COMMANDS) - {"demo"}
    assert len(documented()) > 20


@pytest.mark.parametrize("text", documented())
def test_it_works_as_written(
    text: str, synced_bl: Bl, store: Store, fresh: str, tmp_path: Path, isolated: pytest.MonkeyPatch
) -> None:
    """Exit code 0, no traceback, and something is said. Planted: an option that is not there any more."""
    order_id = max(key for key, order in store.sales.items() if not order.is_purged)
    name, *arguments = [WORDS.get(word, word).replace("15646315", str(order_id)) for word in documented()[text]]
    if name in SERVING:
        isolated.setenv("BL_DESK_TOKEN", "a token that nobody guesses")
        serve(name, *arguments)
        return
    if name == "restore":
        expect(synced_bl("backup", arguments[-1]), 0)
        if "--replace" not in arguments:
            isolated.setenv("BL_DATABASE_URL", fresh)
    elif name == "import" and arguments[1:]:
        example = (PROJECT / "examples" / arguments[-1]).read_text()
        Path(arguments[-1]).write_text(example.replace("15646315", str(order_id)))
    elif name == "export" and "--period" in arguments:
        expect(synced_bl("close", arguments[arguments.index("--period") + 1]), 0)
    elif name == "reopen":
        expect(synced_bl("close", *arguments), 0)
    elif name == "upgrade-postgres":
        data = tmp_path / "home" / "postgres" / "data"
        data.mkdir(parents=True)
        (data / "PG_VERSION").write_text("18")
        isolated.setenv("BL_DATABASE_URL", "")
    result = expect(synced_bl(name, *arguments), 0)
    assert result.stdout or result.stderr


def serve(name: str, *arguments: str) -> None:
    """Run it until it answers, then Ctrl-C."""
    options = {"up": ["--port", "--desk-port"], "desk": ["--port"]}.get(name, [])
    port = [word for option in options for word in (option, str(free_port()))]
    with subprocess.Popen(
        [*BL, name, *arguments, *port], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            said = next((line for line in process.stdout if line.startswith(SERVING[name])), "")
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=100)
        finally:
            process.kill()
    assert said
    assert (process.returncode, "Traceback" in err) == (0, False), err
