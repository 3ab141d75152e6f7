"""A proxy that counts: it hands every request on to one server, as it came, and remembers what it was."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TIMEOUT_S = 60
OF_ONE_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@dataclass(frozen=True, slots=True)
class Request:
    """What went through."""

    method: str
    path: str
    query: dict[str, list[str]]


@dataclass
class Proxy:
    """What the clients use instead of the server: ``url``, and what they asked."""

    url: str
    requests: list[Request] = field(default_factory=list)

    def those(self, method: str, ending: str) -> list[Request]:
        return [one for one in self.requests if one.method == method and one.path.endswith(ending)]


@contextmanager
def counting(url: str) -> Iterator[Proxy]:
    """Stand before the server at *url*, until the end."""
    parts = urlsplit(url)
    proxy = Proxy("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked = urlsplit(self.path)
            proxy.requests.append(Request(self.command, asked.path, parse_qs(asked.query)))
            connection = HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
            try:
                connection.request(self.command, self.path, body=body or None, headers=dict(self.headers.items()))
                answer = connection.getresponse()
                content = answer.read()
            finally:
                connection.close()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in OF_ONE_HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *args: Any) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy.url = f"http://127.0.0.1:{server.server_address[1]}{parts.path}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
