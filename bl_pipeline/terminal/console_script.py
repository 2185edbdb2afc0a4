"""Where the console script `bl` begins: Ctrl-C while it is loaded ends it, and shows no traceback."""

import signal

# Before all other imports. Nothing was begun that has to be closed. If Ctrl-C is ignored, it stays so.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def main() -> None:
    """Import the commands, and run the one that is asked for."""
    from bl_pipeline.terminal import cli  # noqa: PLC0415

    cli.main()
