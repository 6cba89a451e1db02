"""A proxy in front of a real `mlflow server` that gives chosen requests another answer, as bad servers do."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import urlsplit

HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length", "server", "date")


class Request(NamedTuple):
    """A request as it arrived."""

    method: str
    path: str


class Answer(NamedTuple):
    """A response to the client."""

    status: int
    headers: dict[str, str]
    body: bytes


class Fault(NamedTuple):
    """A response that replaces the server's; with `done` the server has executed the request first."""

    name: str
    answer: Answer
    done: bool = False


JSON = {"Content-Type": "application/json"}
FAULTS = {
    f.name: f
    for f in (
        Fault("404", Answer(404, JSON, b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "No such thing."}')),
        Fault("401", Answer(401, JSON, b'{"error_code": "UNAUTHENTICATED", "message": "You are not authenticated."}')),
        Fault("500 after it was done", Answer(500, {"Content-Type": "text/plain"}, b"Internal Server Error"), True),
    )
}
Faults = Callable[[int, Request], Fault | None]


@dataclass(eq=False)
class Proxy:
    """Forwards requests and records them; `faults` gives the fault of the n-th request, counted from 0."""

    target: str
    uri: str = ""
    seen: list[Request] = field(default_factory=list)
    hit: list[Request] = field(default_factory=list)
    faults: Faults = lambda number, request: None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def watch(self, faults: Faults = lambda number, request: None) -> None:
        """Count from 0 again, with these faults."""
        with self.lock:
            self.seen, self.hit, self.faults = [], [], faults

    def next(self, request: Request) -> Fault | None:
        """The fault of a request, which is recorded."""
        with self.lock:
            fault = self.faults(len(self.seen), request)
            self.seen.append(request)
            self.hit += [request] * (fault is not None)
            return fault


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def handle_one(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.proxy.next(Request(self.command, self.path))
        answer = self._forwarded(body) if fault is None or fault.done else fault.answer
        if fault is not None:
            self.close_connection, answer = True, fault.answer
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_one

    def _forwarded(self, body: bytes) -> Answer:
        """The answer of the real server."""
        target = urlsplit(self.proxy.target)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in (*HOP_BY_HOP, "host", "accept-encoding")}
        connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=60)
        try:
            connection.request(self.command, self.path, body or None, headers)
            answer = connection.getresponse()
            kept = {k: v for k, v in answer.getheaders() if k.lower() not in HOP_BY_HOP}
            return Answer(answer.status, kept, answer.read())
        finally:
            connection.close()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def proxy_to(target: str) -> Iterator[Proxy]:
    """A proxy on loopback in front of the server at `target`, ended with the block."""
    proxy = Proxy(target)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": proxy}))
    server.daemon_threads = True
    proxy.uri = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
