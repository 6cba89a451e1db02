"""A proxy in front of a real `mlflow server` that disturbs chosen requests as bad servers and networks do."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import urlsplit

HELD_SECONDS = 30.0  # longest time without an answer, if the client does not close the connection
HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length", "server", "date")


class Request(NamedTuple):
    """A request as it arrived."""

    method: str
    path: str


class Answer(NamedTuple):
    """What the client receives."""

    status: int
    headers: dict[str, str]
    body: bytes


class Fault(NamedTuple):
    """What happens to a request.

    With `done` the real server gets it. The client receives `answer`; without one the connection is reset, or stays
    `silent` until the client closes it.
    """

    name: str
    answer: Answer | None = None
    done: bool = False
    silent: bool = False


ERROR_500 = Answer(500, {"Content-Type": "text/plain"}, b"Internal Server Error")
JSON = {"Content-Type": "application/json"}
ERROR_401 = Answer(401, JSON, b'{"error_code": "UNAUTHENTICATED", "message": "You are not authenticated."}')
ERROR_404 = Answer(404, JSON, b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "No such thing."}')
FAULTS = {
    f.name: f
    for f in (
        Fault("500", ERROR_500),
        Fault("503", Answer(503, {}, b"")),
        Fault("429", Answer(429, {}, b"")),
        Fault("429 with Retry-After", Answer(429, {"Retry-After": "0"}, b"")),
        Fault("404", ERROR_404),
        Fault("401", ERROR_401),
        Fault("silence", silent=True),
        Fault("silence after it was done", silent=True, done=True),
        Fault("reset"),
        Fault("reset after it was done", done=True),
        Fault("500 after it was done", ERROR_500, done=True),
    )
}


@dataclass(eq=False)
class Proxy:
    """Forwards requests and records them; `faults` gives the fault of the n-th request, counted from 0."""

    target: str
    uri: str = ""
    seen: list[Request] = field(default_factory=list)
    hit: list[tuple[int, Request, str]] = field(default_factory=list)
    """The disturbed requests, with the fault's name."""
    faults: Callable[[int, Request], Fault | None] = lambda number, request: None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def watch(self, faults: Callable[[int, Request], Fault | None] = lambda number, request: None) -> None:
        """Count from 0 again, with these faults."""
        with self.lock:
            self.seen, self.hit, self.faults = [], [], faults

    def next(self, request: Request) -> Fault | None:
        """The fault of a request, which is recorded."""
        with self.lock:
            number = len(self.seen)
            self.seen.append(request)
            fault = self.faults(number, request)
            if fault is not None:
                self.hit.append((number, request, fault.name))
            return fault

    def forward(self, request: Request, headers: dict[str, str], body: bytes) -> Answer:
        """The answer of the real server."""
        target = urlsplit(self.target)
        connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=60)
        try:
            connection.request(request.method, request.path, body or None, headers)
            answer = connection.getresponse()
            kept = {k: v for k, v in answer.getheaders() if k.lower() not in HOP_BY_HOP}
            return Answer(answer.status, kept, answer.read())
        finally:
            connection.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def handle_one(self) -> None:
        body = self._body()
        request = Request(self.command, self.path)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in (*HOP_BY_HOP, "host", "accept-encoding")}
        fault = self.proxy.next(request)
        answer = self.proxy.forward(request, headers, body) if fault is None or fault.done else None
        if fault is not None:
            self.close_connection, answer = True, fault.answer
        if answer is not None:
            self._send(answer)
        elif fault is not None and fault.silent:
            self._wait()
        else:
            self._reset()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_one

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def _wait(self) -> None:
        self.connection.settimeout(HELD_SECONDS)
        with suppress(OSError):
            self.connection.recv(1)  # returns as the client closes

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that closed the connection, as many faults make them do."""


@contextmanager
def proxy_to(target: str) -> Iterator[Proxy]:
    """A proxy on loopback in front of the server at `target`, ended with the block."""
    proxy = Proxy(target)
    handler = type("Handler", (_Handler,), {"proxy": proxy})
    server = _Server(("127.0.0.1", 0), handler)
    proxy.uri = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
