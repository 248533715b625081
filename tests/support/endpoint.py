"""A server on loopback that takes bug reports, or behaves badly in one of the ways that servers do."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import suppress
from typing import NamedTuple


class Request(NamedTuple):
    """What arrived: first line, headers in lower case, body."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict:
        return json.loads(self.body)


def http(status: str, body: bytes = b"", **headers: str) -> bytes:
    """Write an answer."""
    told = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close", **headers}
    return f"HTTP/1.1 {status}\r\n".encode() + "".join(f"{k}: {v}\r\n" for k, v in told.items()).encode() + b"\r\n" + body


FILED = http("201 Created", b'{"id": "bug-7", "url": "https://bug.example/7"}')


class Endpoint:
    """Listens until it is closed.

    Attributes:
        url: Its address.
        requests: What arrived so far.
        answer: Bytes that it answers with.
        manner: `answer`, `deaf` (answers before it has read), `hang`, `trickle-head`, `trickle-body`, `drop`.
    """

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/api/bugs"
        self.requests: list[Request] = []
        self.answer, self.manner = FILED, "answer"
        self.closing = threading.Event()
        self.lost = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.closing.set()
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError, ValueError):
            if self.manner == "drop":
                return
            if self.manner != "deaf":
                self.requests.append(_read(connection))
            getattr(self, f"_{self.manner.partition('-')[0]}", self._answer)(connection)

    def _answer(self, connection: socket.socket) -> None:
        connection.sendall(self.answer)
        if self.manner == "deaf":
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65_536):
                pass

    def _hang(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        if not connection.recv(1):
            self.lost.set()

    def _trickle(self, connection: socket.socket) -> None:
        """Answer one byte at a time, always soon enough for a timeout of a single read."""
        head = b"HTTP/1.1 200 OK\r\nX-Slow: "
        connection.sendall(head if self.manner == "trickle-head" else http("200 OK", **{"Content-Length": "100000"}))
        try:
            while not self.closing.is_set():
                connection.sendall(b" ")
                time.sleep(0.02)
        except OSError:
            self.lost.set()


def _read(connection: socket.socket) -> Request:
    file = connection.makefile("rb")
    line = file.readline().decode().strip()
    headers = {}
    while (header := file.readline().strip()) != b"":
        name, _, value = header.decode().partition(":")
        headers[name.lower()] = value.strip()
    return Request(line, headers, file.read(int(headers.get("content-length", 0))))
