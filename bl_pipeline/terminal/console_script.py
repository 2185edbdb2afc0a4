"""Where the console script `bl` begins: Ctrl-C while its commands are imported ends it, and shows no traceback."""

from __future__ import annotations

import signal


def main() -> None:
    """Import the commands, and run the one that is asked for."""
    interrupt = signal.getsignal(signal.SIGINT)
    if interrupt is signal.default_int_handler:
        # Nothing was begun, so nothing has to be closed.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from bl_pipeline.terminal import cli  # noqa: PLC0415

    signal.signal(signal.SIGINT, interrupt)
    cli.main()
