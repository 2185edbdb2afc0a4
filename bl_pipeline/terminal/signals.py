"""Signals that ask a command to end."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def orderly_end() -> Iterator[None]:
    """The first of them becomes KeyboardInterrupt, so that what is open is closed; after it they change nothing.

    A command that was started with nohup goes on when its terminal is closed.
    """

    def end(_number: int, _frame: FrameType | None) -> NoReturn:
        ignore_signals()
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in _ENDING}
    for number, handler in before.items():
        if number != signal.SIGHUP or handler != signal.SIG_IGN:
            signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def hang_up_cancels() -> None:
    """Let a closed terminal cancel what runs, as SIGTERM does, unless the command was started with nohup."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda _number, _frame: signal.raise_signal(signal.SIGTERM))


def interrupt_at_ctrl_c() -> None:
    """Let Ctrl-C raise KeyboardInterrupt, if until now it ended the process: see `console_script`."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def ignore_signals() -> None:
    """A signal must not interrupt the closing."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
