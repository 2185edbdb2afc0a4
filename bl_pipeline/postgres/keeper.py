"""The keeper of the embedded Postgres: a process that runs the server while anyone has a lease.

`embedded.acquire` starts it in the background with the server's command. It sleeps until

- the last lease is gone, its holder killed perhaps: then it stops the server, and ends;
- the server was killed: then it starts it again, on the same port, while there are leases;
- the server has ended with an error before it was up: then it ends, and `acquire` reports what the log says.

If the keeper itself was killed, the server goes on, and the next `acquire` starts another keeper for it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH
from pathlib import Path

from bl_pipeline.postgres.cluster import HOST, START_TIMEOUT, Cluster, FileLock

GRACE = 1.0  # seconds a server runs after its last lease, so that the next command finds it running
PAUSE = 1.0  # seconds between the end of a server and its next start
STOPS = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0))  # in the usual way, which ends sessions; by force; seconds each


class Keeper:
    """Runs the server of a cluster with this command."""

    def __init__(self, cluster: Cluster, command: list[str]) -> None:
        self._cluster = cluster
        self._command = command
        self._child: subprocess.Popen[bytes] | None = None
        self._server = cluster.lock("server")

    def run(self, lease: FileLock) -> None:
        """Return when there are no leases or no data any more, or the server does not start."""
        began = time.monotonic()
        self._server.take(LOCK_EX)  # a killed keeper's server may run still
        while self._cluster.data.exists() and lease.take(LOCK_SH | LOCK_NB):
            self._child = self._start()
            lease.release()
            code = self._child.wait()
            if code > 0 and time.monotonic() - began < START_TIMEOUT:
                return
            if code < 0:
                end_orphans(self._cluster.data)
            time.sleep(PAUSE)
            self._server.take(LOCK_EX)

    def stop(self) -> None:
        """Stop the server if it runs."""
        noted = self._cluster.postmaster()
        pid = self._child.pid if self._child else noted[0] if noted else 0
        for number, seconds in STOPS:
            until = time.monotonic() + seconds
            if pid and not self._server.take(LOCK_EX | LOCK_NB):
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            while not self._server.take(LOCK_EX | LOCK_NB) and time.monotonic() < until:
                time.sleep(0.02)

    def _start(self) -> subprocess.Popen[bytes]:
        """Start the server, and hand our lock over to it."""
        stale = self._cluster.postmaster()
        child = subprocess.Popen(  # noqa: S603  (the command is made of our own paths)
            [*self._command, f"--port={_free_port(self._cluster.root / 'port')}"],
            stdin=subprocess.DEVNULL,
            pass_fds=[self._server.fileno()],
            # The id in postmaster.pid may by now be any process of ours, after a restart of a container most
            # likely is. This makes Postgres ignore it, and rely on its second guard, the shared memory.
            env={**os.environ, "PG_GRANDPARENT_PID": str(stale[0] if stale else 0)},
        )
        self._server.close()
        self._server = self._cluster.lock("server")
        return child


def _free_port(note: Path) -> int:
    """The port of the last time if it is free, else a new one, which is noted."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, int(note.read_text())))
        except (OSError, ValueError):
            probe.bind((HOST, 0))
            note.write_text(f"{probe.getsockname()[1]}\n")
        return int(probe.getsockname()[1])


def end_orphans(data: Path) -> None:
    """End what a killed server has left: a process that is busy would notice only when it is done."""
    import psutil  # type: ignore[import-untyped]  # noqa: PLC0415  (seldom needed, and a start has to be quick)

    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.name() == "postgres" and process.cwd() == str(data.resolve()):
                process.send_signal(signal.SIGQUIT)  # as a server does that ends in an emergency


def _end_when_unused(lease: FileLock) -> None:
    """Wait until nobody has a lease, then end this process, with the lock: who comes now waits for its end."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # it is for the main thread
    while lease.take(LOCK_EX):
        lease.release()
        time.sleep(GRACE)
        if lease.take(LOCK_EX | LOCK_NB):
            os.kill(os.getpid(), signal.SIGTERM)
            return


def main(root: str, *command: str) -> None:
    """Become the keeper of this cluster, in the background; the caller goes on when that is certain."""
    os.umask(0o077)
    cluster = Cluster(Path(root))
    lock = cluster.lock("keeper")
    lock.take(LOCK_EX)  # it is free, but for those who look whether it is
    if child := os.fork():
        lock.sign(str(child))
        os._exit(0)  # the child keeps the lock, and our caller has no child to wait for
    keeper = Keeper(cluster, list(command))
    unused = cluster.lock("lease")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    threading.Thread(target=_end_when_unused, args=[unused], daemon=True).start()
    try:
        keeper.run(cluster.lock("lease"))
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        keeper.stop()
        lock.close()  # before the lease, so that a new process never takes this one for a running keeper


if __name__ == "__main__":
    main(*sys.argv[1:])
