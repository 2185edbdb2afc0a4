"""`python -m bl_pipeline.sandbox`: serve a store until a signal stops it."""

import argparse
import errno
import os
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import NoReturn

from bl_pipeline.sandbox.oauth import Credentials
from bl_pipeline.sandbox.server import SandboxServer
from bl_pipeline.sandbox.store import Store

_VARIABLES = (
    "BRICKLINK_CONSUMER_KEY",
    "BRICKLINK_CONSUMER_SECRET",
    "BRICKLINK_TOKEN_VALUE",
    "BRICKLINK_TOKEN_SECRET",
)
_POLL = 0.25


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; returns the exit code."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGINT, _stop)
    signal.signal(signal.SIGTERM, _stop)
    parent = options.exit_with_parent
    try:
        store = Store.grow(
            options.orders,
            options.seed,
            filed=options.filed,
            purged=options.purged,
            currencies=options.currencies.split(","),
        )
    except ValueError as error:
        print(f"sandbox: {error}", file=sys.stderr)  # noqa: T201
        return 2
    given = [os.environ.get(name, "") for name in _VARIABLES]
    credentials = Credentials(*given) if all(given) else None
    with ExitStack() as stack:
        server = SandboxServer(store, credentials=credentials, port=options.port, latency=options.latency)
        try:
            stack.enter_context(server)
        except (OSError, OverflowError) as error:
            print(f"sandbox: cannot serve on port {options.port}: {error}", file=sys.stderr)  # noqa: T201
            return 1
        try:
            _announce(server, options.ready_file, with_credentials=credentials is None)
        except OSError as error:
            full = "There is no room left for the output." if error.errno == errno.ENOSPC else str(error)
            print(f"Error: {full}", file=sys.stderr)  # noqa: T201
            # Python would try again at the end, and fail with an exit code of its own.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        while parent is None or os.getppid() == parent:
            time.sleep(_POLL)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bl_pipeline.sandbox",
        description="Serve a sandbox BrickLink on the loopback interface.",
    )
    parser.add_argument("--port", type=int, default=0, help="0, the default, picks a free port")
    parser.add_argument("--orders", type=int, default=300, help="how many sales; purchases are added to them")
    parser.add_argument("--seed", type=int, default=7, help="what the store is made from")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--filed", type=int, help="the exact number of filed sales")
    parser.add_argument("--purged", type=int, help="the exact number of purged sales")
    parser.add_argument("--currencies", default="EUR", help="what is sold in, the usual one first: EUR,USD")
    parser.add_argument("--ready-file", type=Path, help="written, with what is printed, once requests are answered")
    parser.add_argument(
        "--exit-with-parent",
        type=int,
        nargs="?",
        const=os.getppid(),
        metavar="PID",
        help="stop once this process, or the one that started the sandbox, is no longer its parent",
    )
    return parser


def _announce(server: SandboxServer, ready_file: Path | None, *, with_credentials: bool) -> None:
    """Print the variables that a client needs, in a form that a shell can source."""
    sales = server.store.sales.values()
    variables = server.environment() if with_credentials else {"BRICKLINK_API_URL": server.url}
    lines = [f"export {name}={value}" for name, value in variables.items()]
    lines.append(
        f"# serving {len(sales)} sales ({sum(order.is_filed for order in sales)} filed, "
        f"{sum(order.is_purged for order in sales)} purged) and {len(server.store.purchases)} purchases"
    )
    text = "\n".join(lines)
    if ready_file is not None:
        # Renamed into place: a process that waits for the file never reads half of it.
        unfinished = ready_file.with_name(f"{ready_file.name}.{os.getpid()}")
        unfinished.touch(mode=0o600)
        unfinished.write_text(f"{text}\n")
        unfinished.replace(ready_file)
    # Last: when it has been read, the file is there as well.
    print(text, flush=True)  # noqa: T201


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    # A second signal must not interrupt the stopping.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
