"""The curl commands of docs/desk.md, run as they are written there, against a desk that is served."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
import uvicorn

from bl_pipeline.desk.serving import guarded_app
from bl_pipeline.sandbox import Store
from bl_pipeline.settings import Settings
from bl_pipeline_tests.conftest import MakeSettings, Sync
from bl_pipeline_tests.support.waiting import wait_until

PAGE = (Path(__file__).parents[2] / "docs" / "desk.md").read_text()
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
TOKEN = "of-twenty-characters"


@pytest.fixture
def address(make_settings: MakeSettings) -> Iterator[str]:
    """Where the desk is served, behind its token."""
    settings: Settings = make_settings(bl_desk_token=TOKEN)
    server = uvicorn.Server(uvicorn.Config(guarded_app(settings), port=0, log_level="error", access_log=False))
    thread = Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_each_command_is_answered(synced: Sync, store: Store, address: str) -> None:
    """Without the token each is 401, with it each works. Planted: a parameter in the page that there is not."""
    order_id = next(str(key) for key, order in store.sales.items() if not order.is_purged)
    answered = []
    for command in COMMANDS:
        here = command.replace("127.0.0.1:8000", address).replace("15646315", order_id)
        answers = []
        for more in ("", ' -H "Authorization: Bearer $BL_DESK_TOKEN"'):
            asked = here.replace(' -H "Authorization: Bearer $BL_DESK_TOKEN"', "") + more + r" -w '\n%{http_code}'"
            done = subprocess.run(
                ["sh", "-c", asked],
                capture_output=True,
                text=True,
                check=True,
                env={"BL_DESK_TOKEN": TOKEN, "PATH": "/usr/bin:/bin"},
            )
            text, _, code = done.stdout.rpartition("\n")
            answers.append((int(code), json.loads(text)))
        (refused, _), (status, body) = answers
        assert refused == 401, command
        answered.append((command.split("/api/")[1].split("'")[0].split()[0], status, body))
    statuses = [(name.partition("?")[0], status) for name, status, _ in answered]
    assert statuses == [
        ("integrations/bricklink/sync", 202),
        ("integrations/bricklink/status", 200),
        ("orders", 200),
        ("orders", 200),
        ("orders/BL-15646315", 200),
        ("orders/15646315/refresh", 409),  # the sync is still running
        ("stores", 200),
        ("orders", 200),
    ]
    assert answered[1][2]["run"]["runId"] == answered[0][2]["runId"]
    assert answered[2][2]["count"] > 0
    assert answered[4][2]["platformOrderId"] == order_id
