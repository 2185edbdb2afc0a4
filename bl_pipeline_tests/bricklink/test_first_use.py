"""The first answers of a process, read by several threads at the same time."""

from __future__ import annotations

import subprocess
import sys

import pytest

_FIRST_USES = """
import os, sys
from threading import Barrier, Thread

from bl_pipeline.bricklink import OrderFeedback, OrderItem
from bl_pipeline.bricklink.reading import read_order, read_part, read_summaries

ORDER = b'''{"order_id": 1, "date_ordered": "2024-03-01T08:00Z", "cost": {"currency_code": "EUR", "grand_total": "1"},
    "total_weight": "1.5", "remarks": "x", "shipping": {"method": "a", "address": {"name": {"full": "x"}}}}'''
read, raw = {
    "order": (read_order, ORDER),
    "summaries": (read_summaries, b"[%b]" % ORDER),
    "items": (lambda raw: read_part(raw, OrderItem), b'[[{"quantity": 1, "item": {"no": "1"}, "order_cost": "1.5"}]]'),
    "feedback": (lambda raw: read_part(raw, OrderFeedback), b'[{"rating": 0, "reply": "x"}]'),
}[sys.argv[1]]


def read_at_once():
    at_once = Barrier(12)

    def first():
        at_once.wait()
        found.append(read(raw))

    found = []
    threads = [Thread(target=first) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 12 and found[0] and all(one == found[0] for one in found), found


sys.setswitchinterval(0.0002)
for _ in range(40):
    child = os.fork()
    if not child:
        read_at_once()
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.parametrize("answer", ["order", "summaries", "items", "feedback"])
def test_threads_that_read_the_first_answers_do_not_crash(answer: str) -> None:
    """Caught: a sync whose first answers came at the same time ended with a segmentation fault.

    Planted: the first look of msgspec at a type without a lock, before the reading or in it.
    """
    found = subprocess.run([sys.executable, "-c", _FIRST_USES, answer], capture_output=True, text=True, check=True)
    assert (found.stdout.split(), found.stderr) == (["0"] * 40, "")
