"""Where bug reports go, and the one request that sends a report there.

A request has fifteen seconds in total and is made once: no retries, and no redirects, because the person agreed to one address. It runs in
its own thread, since a name lookup, or a server that answers one byte at a time, cannot be timed out otherwise; when time is up its
connection is closed.
"""

from __future__ import annotations

import http.client
import ipaddress
import os
import socket
import ssl
import threading
import urllib.error
import urllib.request
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from smithers_nb._version import __version__
from smithers_nb.errors import BugReportNotSent
from smithers_nb.model.bug_report import BugFiled
from smithers_nb.present.html.text import one_line

DEFAULT_ENDPOINT: Final = "https://bug.smithers.sh/api/bugs"
ENDPOINT_VARIABLE: Final = "SMITHERS_BUG_ENDPOINT"
TIMEOUT_S: Final = 15.0
_MAX_ANSWER: Final = 65_536
_MAX_ID: Final = 200
_MAX_URL: Final = 2_000
_SCHEMES: Final = ("http", "https")
_MAYBE: Final = "the report may have arrived anyway"


def endpoint_for(given: str | None = None) -> str:
    """Return the address for a report: from the environment, else the given one, else that of the makers of Smithers."""
    return os.environ.get(ENDPOINT_VARIABLE, "").strip() or (given or "").strip() or DEFAULT_ENDPOINT


def refusal(endpoint: str) -> str:
    """Return why a report cannot be sent to this address; empty when it can."""
    try:
        parts = urlsplit(endpoint)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "it is not a URL"
    if parts.scheme not in _SCHEMES:
        return "it must begin with https:// or http://"
    if not host or not endpoint.isascii() or not endpoint.isprintable() or " " in endpoint:
        return "it is not the URL of a server"
    return "it must not contain a user name or password" if "@" in parts.netloc else ""


def send(content: bytes, endpoint: str, *, timeout_s: float = TIMEOUT_S) -> BugFiled:
    """Send a report and read where it was filed.

    Args:
        content: The payload as JSON.
        endpoint: Address to send it to.
        timeout_s: Seconds for everything together.

    Raises:
        BugReportNotSent: It did not arrive, was refused, or the answer does not say where it was filed.
    """
    wrong = refusal(endpoint)
    if wrong:
        raise BugReportNotSent(f"{one_line(endpoint)} is not a valid endpoint: {wrong}")
    request = _Request(content, endpoint, timeout_s)
    request.start()
    try:
        request.join(timeout_s)
    finally:
        late = request.is_alive()
        request.cut()
    if late:
        raise BugReportNotSent(f"no complete answer within {timeout_s:g} s; {_MAYBE}")
    if request.failure is not None:
        raise BugReportNotSent(_describe(request.failure)) from request.failure
    return _filed(request.answer, endpoint)


class _Request(threading.Thread):
    """One POST.

    Attributes:
        answer: Body of a successful response.
        failure: Why there is none.
    """

    def __init__(self, content: bytes, endpoint: str, timeout_s: float) -> None:
        super().__init__(name="bug-report", daemon=True)
        self.content, self.endpoint, self.timeout_s = content, endpoint, timeout_s
        self.answer = b""
        self.failure: Exception | None = None
        self.over = False
        self.sockets: list[socket.socket] = []

    def run(self) -> None:
        """Send the report and read a response of bounded length."""
        try:
            headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": f"smithers-nb/{__version__}"}
            request = urllib.request.Request(self.endpoint, self.content, headers, method="POST")  # noqa: S310  # `refusal` has checked it
            with self._opener().open(request, timeout=2 * self.timeout_s) as response:
                while len(self.answer) <= _MAX_ANSWER:  # until the end of the response, or until `cut`
                    piece = response.read1(_MAX_ANSWER)
                    if not piece:
                        break
                    self.answer += piece
        except urllib.error.HTTPError as error:
            self.failure = error
            error.close()
        except Exception as error:  # noqa: BLE001  # whatever the error, the report was not filed, and the caller saves it
            self.failure = error

    def cut(self) -> None:
        """Close the connections, so that a thread waiting for one ends as well."""
        self.over = True
        for sock in self.sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def connect(self, kind: type[http.client.HTTPConnection], host: str, **options: Any) -> http.client.HTTPConnection:
        """Open a connection that `cut` can close."""
        connection = kind(host, **options)
        reach = connection.connect

        def connect() -> None:
            reach()
            self.sockets.append(connection.sock)  # the connection drops its reference before the response is read
            if self.over:  # the name was resolved after time was up; nothing may be sent now
                connection.close()
                raise TimeoutError("the time is up")

        connection.connect = connect  # type: ignore[method-assign]
        return connection

    def _opener(self) -> urllib.request.OpenerDirector:
        proxies = [urllib.request.ProxyHandler({})] if _on_this_machine(self.endpoint) else []  # by default those of the environment
        return urllib.request.build_opener(_Plain(self), _Secure(self), _NoRedirect, *proxies)


class _Plain(urllib.request.HTTPHandler):
    def __init__(self, request: _Request) -> None:
        super().__init__()
        self.request = request

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        def connect(host: str, **options: Any) -> http.client.HTTPConnection:
            return self.request.connect(http.client.HTTPConnection, host, **options)

        return self.do_open(connect, req)


class _Secure(urllib.request.HTTPSHandler):
    def __init__(self, request: _Request) -> None:
        super().__init__()
        self.request = request

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        def connect(host: str, **options: Any) -> http.client.HTTPConnection:
            return self.request.connect(http.client.HTTPSConnection, host, **options)

        return self.do_open(connect, req, context=ssl.create_default_context())


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Never follow a redirect: it is an error with its own status."""


def _on_this_machine(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _describe(failure: Exception) -> str:
    if isinstance(failure, urllib.error.HTTPError):
        target = failure.headers.get("Location") if failure.headers else None
        if 300 <= failure.code < 400 and target:  # noqa: PLR2004
            return f"the endpoint answered {failure.code} and redirects to {one_line(target)}, which was not followed"
        return f"the endpoint answered {failure.code} {one_line(failure.reason, 80)}".rstrip()
    if isinstance(failure, urllib.error.URLError):
        return f"the endpoint cannot be reached: {one_line(failure.reason)}"
    return f"the connection broke: {one_line(failure) or type(failure).__name__}; {_MAYBE}"


def _filed(answer: bytes, endpoint: str) -> BugFiled:
    if len(answer) > _MAX_ANSWER:
        raise BugReportNotSent(f"the answer is longer than {_MAX_ANSWER:,} bytes; {_MAYBE}")
    try:
        reply = orjson.loads(answer)
    except orjson.JSONDecodeError:
        reply = None
    name = reply.get("id") if isinstance(reply, dict) else None
    if isinstance(name, bool) or not isinstance(name, str | int) or not str(name).strip():
        raise BugReportNotSent(f"the endpoint answered without the id of a bug; {_MAYBE}")
    return BugFiled(id=one_line(name, _MAX_ID), url=_address(reply.get("url")), endpoint=endpoint)


def _address(url: object) -> str | None:
    """Return a URL if a browser may open it, else None."""
    return url if isinstance(url, str) and len(url) <= _MAX_URL and not refusal(url) else None
