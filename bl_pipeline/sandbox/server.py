"""The sandbox over real HTTP: one process, real sockets, requests answered at the same time."""

import threading
from functools import partial
from socketserver import ThreadingTCPServer
from types import TracebackType

from bl_pipeline.sandbox.api import BASE_PATH
from bl_pipeline.sandbox.handler import Handler
from bl_pipeline.sandbox.served import Served


class SandboxServer(Served):
    """Serves a store on the loopback interface, from a thread of its own, while the `with` block runs.

    The arguments are those of Served.

    Raises:
        OSError: on entering the block, if the port is in use.
    """

    _listener: "_Listener | None" = None
    _thread: threading.Thread | None = None

    def __enter__(self) -> "SandboxServer":
        self._listener = _Listener(("127.0.0.1", self._port), partial(Handler, self))
        # A short poll, since stopping waits for it.
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.02,), name="sandbox", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._listener is None or self._thread is None:
            return
        self._listener.shutdown()
        self._thread.join()
        self.stop()
        # Joins the threads of all connections, which end because no request comes any more.
        self._listener.server_close()

    @property
    def port(self) -> int:
        """The port that is listened on; RuntimeError outside the `with` block."""
        if self._listener is None:
            raise RuntimeError("the sandbox is not being served")
        return int(self._listener.server_address[1])

    @property
    def root(self) -> str:
        """The address of the server, for paths beginning with "/sandbox/"."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The base URL of the API."""
        return self.root + BASE_PATH

    def environment(self) -> dict[str, str]:
        """The environment variables with which a client finds this server and is let in."""
        return {"BRICKLINK_API_URL": self.url, **self.credentials.environment()}


class _Listener(ThreadingTCPServer):
    """Accepts connections, a thread for each."""

    allow_reuse_address = True
    daemon_threads = False
    request_queue_size = 128
