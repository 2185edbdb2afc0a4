"""`bl sync --all-stores`: a `bl sync` for each store, some at the same time, each within its own budget and lock."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from tempfile import TemporaryFile
from threading import Lock
from typing import Any

from bl_pipeline.records import PRECEDENCE, ExitCode, SyncResult
from bl_pipeline.settings import SettingsError, load_stores
from bl_pipeline.terminal import console as c
from bl_pipeline.terminal.signals import orderly_end
from bl_pipeline.wording import plural

_AT_A_TIME = 4
"""Stores: each has a process with Dagster in it, some 140 MB, and waits for BrickLink most of the time."""

_BL = (
    # Whatever it has inherited: a program that is started in the background ignores Ctrl-C.
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from bl_pipeline.terminal.cli import main; main()"
)
_WORDS: dict[int, str] = {
    ExitCode.DONE: "done",
    ExitCode.SOME_FAILED: "done, but some orders failed",
    ExitCode.BUDGET: "stopped at the call budget",
}


@dataclass(frozen=True)
class Synced:
    """How the sync of a store ended: the exit code of its `bl sync`, and the SyncResult that it printed."""

    store: str
    exit_code: int
    result: dict[str, Any]


def sync_all_stores(*, full: bool, filed: bool, items: bool, as_json: bool) -> int:
    """Sync every store of the settings, report each, and return one exit code for all. Raises SettingsError.

    A store that is refused, or whose process dies, stops no other. A signal cancels all, and each is still reported.
    """
    arguments = [
        "sync", "--json", *(["--full"] if full else []), "--filed" if filed else "--no-filed",
        "--items" if items else "--no-items",
    ]  # fmt: skip
    try:
        keys = [settings.bl_store for settings in load_stores()]
    except SettingsError as error:
        if as_json:
            c.print_json(_as_json(ExitCode.USAGE, [], error=str(error)))
        raise
    done: dict[str, Synced] = {}
    unshown: OSError | None = None
    with orderly_end(), _Syncs(arguments, keys) as syncs:
        while len(done) < len(keys):
            try:
                for synced in syncs.ended(done):
                    done[synced.store] = synced
                    if not as_json:
                        _say(synced)
            except KeyboardInterrupt:
                syncs.cancel()
            except OSError as error:  # a closed pipe, a full disk: the other syncs go on
                unshown = error
    if unshown:
        raise unshown
    code = next((code for code in PRECEDENCE if code in {synced.exit_code for synced in done.values()}), ExitCode.DONE)
    if as_json:
        c.print_json(_as_json(code, [done[key] for key in keys]))
    else:
        in_step = sum(synced.exit_code == ExitCode.DONE for synced in done.values())
        c.show(f"{in_step} of {plural(len(keys), 'store')} synced to the end. How each stands: bl stores")
    return code


def _as_json(code: int, done: Sequence[Synced], *, error: str | None = None) -> dict[str, Any]:
    """The result of all; `errors` says why none was begun."""
    return {
        "success": code == ExitCode.DONE,
        "exit_code": code,
        "errors": [error] if error else [],
        "stores": {synced.store: {**synced.result, "exit_code": synced.exit_code} for synced in done},
    }


def _say(synced: Synced) -> None:
    result, code = synced.result, synced.exit_code
    counts = ", ".join(
        f"{result[f'orders_{word}']:,} {word}"
        for word in ("created", "updated", "skipped", "deferred")
        if word != "deferred" or result["orders_deferred"]
    )
    words = _WORDS.get(code, "not done")
    c.show(f"{synced.store}: {words}: {counts}; {plural(result['api_calls'], 'API call')}")


class _Syncs:
    """A process of `bl sync` for each store, in a session of its own, some at a time; none is left when it is left."""

    def __init__(self, arguments: Sequence[str], stores: Sequence[str]) -> None:
        self._arguments = arguments
        self._lock = Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._ending = False
        self._threads = ThreadPoolExecutor(_AT_A_TIME)
        self._syncs = {store: self._threads.submit(self._sync, store) for store in stores}

    def __enter__(self) -> _Syncs:
        return self

    def __exit__(self, *_error: object) -> None:
        self.cancel()
        self._threads.shutdown()

    def ended(self, but: Collection[str]) -> Iterator[Synced]:
        """The syncs of all stores but these; each as it has ended."""
        for ended in as_completed(sync for store, sync in self._syncs.items() if store not in but):
            yield ended.result()

    def cancel(self) -> None:
        """Let each end as by Ctrl-C, and no other begin."""
        with self._lock:
            self._ending = True
            for process in self._running:
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGINT)

    def _sync(self, store: str) -> Synced:
        # The result goes to a file: a pipe that is full would stop the process until somebody reads it.
        with TemporaryFile("w+", encoding="utf-8") as result:
            with self._lock:
                if self._ending:
                    return Synced(store, ExitCode.OTHER, _nothing("Canceled."))
                process = subprocess.Popen(  # noqa: S603  (the command is made of our own words)
                    [sys.executable, "-c", _BL, *self._arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=result,
                    stderr=subprocess.PIPE,
                    env={**os.environ, "BL_STORE": store},
                    text=True,
                    start_new_session=True,  # Ctrl-C in the terminal is for us, who pass it on
                )
                self._running.add(process)
            assert process.stderr is not None
            with process.stderr as said:
                for line in said:
                    _pass_on(store, line)
            code = process.wait()
            with self._lock:
                self._running.discard(process)
            result.seek(0)
            try:
                return Synced(store, code, json.loads(result.read()))
            except ValueError:
                why = "Canceled." if self._ending else "The process of this sync was ended from outside."
                _pass_on(store, f"Error: {why}")
                return Synced(store, ExitCode.OTHER, _nothing(why))


def _pass_on(store: str, line: str) -> None:
    """Show what the sync of a store says on standard error: progress, warnings, why it failed."""
    with suppress(OSError):  # nobody reads it: the sync goes on
        c.stderr().print(c.clean(f"{store}: {line.rstrip()}"), soft_wrap=True, highlight=False, markup=False)


def _nothing(message: str) -> dict[str, Any]:
    return {**SyncResult().as_dict(), "success": False, "errors": [{"order_id": None, "error": message}]}
