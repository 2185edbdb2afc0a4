"""`make bench`: run topics, and show their figures beside the goals.

make bench                                       # everything, at full size
make bench BENCH="load --orders 10000"           # one topic, on a smaller store
make bench BENCH="load start --rounds 5 --write" # and keep the result: docs/performance.json, docs/performance.md
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from datetime import UTC, datetime
from importlib import import_module

from benchmarks import machine, page
from benchmarks.frame import Bench, Result
from benchmarks.orders import WrongResult
from benchmarks.processes import ProcessFailed
from benchmarks.server import serve

TOPICS = ("load", "calls", "unchanged", "start", "memory", "growth", "reports")
"""Each is a module of this package."""


def main() -> int:
    """Returns the exit code: 1 if a result is wrong, whatever its time; a goal that is not met is no error."""
    arguments = _parse()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that server and folder are gone at the end
    measured: dict[str, page.Measured] = {}
    failures = []
    with serve() as server:
        described = machine.describe(server)
        bench = Bench(server, rounds=arguments.rounds, orders=arguments.orders)
        for topic in arguments.topics or TOPICS:
            bench.say(f"{topic}:")
            load_before, started = machine.load_before(), time.perf_counter()
            try:
                result: Result = import_module(f"benchmarks.{topic}").measure(bench)
            except (WrongResult, ProcessFailed) as error:
                failures.append(f"{topic}: {error}")
                continue
            measured[topic] = page.Measured(
                date=f"{datetime.now(UTC):%Y-%m-%d}",
                revision=machine.revision(),
                machine=described,
                load_before=round(load_before, 1),
                seconds=round(time.perf_counter() - started),
                rounds=arguments.rounds,
                most_orders=arguments.orders,
                result=result,
            )
    if measured:
        page.show(measured)
    if measured and arguments.write:
        page.write({**page.read(), **measured})
    for failure in failures:
        sys.stderr.write(f"FAILED {failure}\n")
    return 1 if failures else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help=f"of {', '.join(TOPICS)}; all without one")
    parser.add_argument("--orders", type=int, help="no larger store than this; without it, the sizes of the goals")
    parser.add_argument("--rounds", type=int, default=3, help="how often each way is run (3)")
    parser.add_argument("--write", action="store_true", help="keep the results in docs/")
    arguments = parser.parse_args()
    if unknown := set(arguments.topics) - set(TOPICS):
        parser.error(f"no such topic: {', '.join(sorted(unknown))}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
