"""Serves live pages in a browser: the pages of a run and of a project, their changes, and people's decisions.

Tornado serves them on this machine only. Every request must name this server as its host. A reader shows the token of the printed address
once and then has a cookie. A form is accepted only from a page of this server: it needs the right `Origin`, the cookie, which other sites
cannot send with a form, and a key, which they cannot read.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import orjson
from tornado import httpserver, netutil, web
from tornado.iostream import StreamClosedError

from smithers_nb.errors import RunNotFound, SmithersNbError
from smithers_nb.workflows.live import static
from smithers_nb.workflows.live.decide import handle_form
from smithers_nb.workflows.live.feed import Feed
from smithers_nb.workflows.live.fleet_page import FleetPage
from smithers_nb.workflows.live.run_page import RunPage
from smithers_nb.workflows.live.shell import Document, document, security

if TYPE_CHECKING:
    from smithers_nb.workflows.live.served_runs import ServedRuns

HOST: Final = "127.0.0.1"
_MAX_FORM_BYTES: Final = 1_000_000
_MAX_CLIENTS: Final = 64
_HEARTBEAT_S: Final = 15.0
_STALLED_S: Final = 30.0
_IDLE_S: Final = 60.0
_CLOSE_S: Final = 3.0
_STRICT_POLICY: Final = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

AnyPage: TypeAlias = RunPage | FleetPage


@contextmanager
def serving(runs: ServedRuns, on_ready: Callable[[str], object], *, run_id: str | None = None, port: int = 0) -> Iterator[str]:
    """Serve live pages in a background thread for the duration of the block.

    Args:
        runs: The runs to show.
        on_ready: Called with the address, including the token.
        run_id: The run whose page to open; defaults to the page of all runs.
        port: The port; 0 takes any free one.

    Raises:
        OSError: The port is taken.
    """
    sockets = netutil.bind_sockets(port, HOST)
    site = Site(runs, sockets[0].getsockname()[1])
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
    thread = threading.Thread(target=lambda: asyncio.run(site.serve(sockets, started)), name="live pages", daemon=True)
    thread.start()
    loop, stop = started.result()
    try:
        address = site.address(run_id)
        on_ready(address)
        yield address
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


class Site:
    """The pages of one store or project; each has a feed while a client follows it."""

    def __init__(self, runs: ServedRuns, port: int) -> None:
        self.runs, self.port = runs, port
        self.token, self.key = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        self.cookie = f"smithers-nb-{port}"
        self.worker = ThreadPoolExecutor(2, "live pages")
        self._feeds: dict[str, tuple[AnyPage, Feed]] = {}

    def address(self, run_id: str | None = None) -> str:
        """Return the address of a page, including the token."""
        path = "" if run_id is None else f"run/{quote(run_id, safe='')}"
        return f"http://{HOST}:{self.port}/{path}?{urlencode({'token': self.token})}"

    async def serve(self, sockets: list[Any], started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
        """Serve until the event that is passed to `started` is set."""
        stop = asyncio.Event()
        rules: list[Any] = [
            (r"/", _Page),
            (r"/run/([^/]+)", _Page),
            (r"/run/([^/]+)/report", _Report),
            (r"/run/([^/]+)/run\.json", _Json),
            (r"/events", _Events),
            (r"/(decide|answer)", _Form),
        ]
        settings: dict[str, Any] = {
            "site": self,
            "default_handler_class": _Missing,
            "cookie_secret": secrets.token_bytes(32),
            "log_function": _log_nothing,
        }
        app = web.Application(rules, **settings)
        server = httpserver.HTTPServer(
            app, max_body_size=_MAX_FORM_BYTES, max_header_size=32_768, idle_connection_timeout=120, body_timeout=30
        )
        server.add_sockets(sockets)
        started.set_result((asyncio.get_running_loop(), stop))
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _HEARTBEAT_S)
            await self._stop_feeds(lambda feed: not feed.clients and time.monotonic() - feed.idle_since > _IDLE_S)
        server.stop()
        await self._stop_feeds(lambda _: True)
        with suppress(TimeoutError):  # a client that reads nothing must not delay the end
            await asyncio.wait_for(server.close_all_connections(), _CLOSE_S)
        self.worker.shutdown(wait=False)

    async def page(self, run_id: str | None) -> tuple[AnyPage, Feed]:
        """Return a page and its feed, with its first part rendered.

        Raises:
            RunNotFound: There is no such run.
        """
        name = run_id or ""
        if name not in self._feeds:
            new = FleetPage(self.runs, self.key) if run_id is None else await self.off_loop(lambda: self._run_page(run_id))
            if name not in self._feeds:  # another request may have created it meanwhile
                feed = Feed(new.parts())
                feed.start()
                self._feeds[name] = new, feed
        page, feed = self._feeds[name]
        await feed.ready()
        return page, feed

    async def off_loop(self, job: Callable[[], Any]) -> Any:
        """Run a function that reads or writes a store in a thread, so that the event loop stays free."""
        return await asyncio.get_running_loop().run_in_executor(self.worker, job)

    @property
    def clients(self) -> int:
        """Number of clients that follow any page."""
        return sum(feed.clients for _, feed in self._feeds.values())

    def _run_page(self, run_id: str) -> RunPage:
        with self.runs.open() as source:
            if run_id not in source.run_ids(run_id):
                raise RunNotFound(f"no run {run_id!r}")
        return RunPage(self.runs, run_id, self.key)

    async def _stop_feeds(self, is_done: Callable[[Feed], bool]) -> None:
        for name, (_, feed) in list(self._feeds.items()):
            if is_done(feed):
                del self._feeds[name]
                await feed.stop()


class _Base(web.RequestHandler):
    """Checks who may send a request, and sets the headers of every response."""

    @property
    def site(self) -> Site:
        site: Site = self.settings["site"]
        return site

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Content-Security-Policy", _STRICT_POLICY)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")
        self.set_header("Cache-Control", "no-store")

    def prepare(self) -> None:
        site = self.site
        if self.request.host not in {
            f"{HOST}:{site.port}",
            f"localhost:{site.port}",
        }:  # another name that resolves to this machine (DNS rebinding)
            raise web.HTTPError(403, reason="Wrong Host")
        token = self.get_query_argument("token", None)
        if token is not None and secrets.compare_digest(token.encode("utf-8", "replace"), site.token.encode()):
            self.set_signed_cookie(site.cookie, "reader", expires_days=None, httponly=True, samesite="Lax")
        elif self.get_signed_cookie(site.cookie) is None:
            raise web.HTTPError(403, reason="Token Needed")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        messages = {403: "open the address that the command printed, including its token", 404: "page not found"}
        message = str(error) if isinstance(error, SmithersNbError) else messages.get(status_code, self._reason)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{' '.join(message.split())}\n".encode("utf-8", "replace"))

    def log_exception(self, *exc_info: Any) -> None:
        """Log unexpected errors only: the log line of a refused request could contain the token."""
        if not isinstance(exc_info[1], web.HTTPError | SmithersNbError):
            super().log_exception(*exc_info)

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        status = 404 if isinstance(error, RunNotFound) else 503 if isinstance(error, SmithersNbError) else status_code
        super().send_error(status, **kwargs)

    def html(self, text: str, policy: str) -> None:
        self.set_header("Content-Security-Policy", policy)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(text.encode("utf-8", "replace"))


class _Missing(_Base):
    def prepare(self) -> None:
        super().prepare()
        raise web.HTTPError(404)


class _Page(_Base):
    """A complete page in its current state."""

    async def get(self, run_id: str | None = None) -> None:
        if self.get_query_argument("token", None) is not None:  # keep the token out of the history and of screenshots
            rest = [pair for pair in parse_qsl(urlsplit(self.request.uri or "").query) if pair[0] != "token"]
            self.redirect(f"{self.request.path}{'?' if rest else ''}{urlencode(rest)}")
            return
        page, feed = await self.site.page(run_id)
        links = [("All runs", "/")]
        if run_id is not None:
            here = f"/run/{quote(run_id, safe='')}"
            links += [("Report", f"{here}/report"), ("JSON", f"{here}/run.json")]
        self.html(document(Document(page.title, run_id or "/", page.sections, feed.since(0), feed.version, links)), security())


class _Report(_Base):
    async def get(self, run_id: str) -> None:
        page = await self.site.off_loop(lambda: static.report(self.site.runs, run_id))
        if page is None:
            self.set_status(404)
            self.finish("there is no report yet\n")
            return
        # The report contains its own policy; these directives apply in addition.
        self.html(page, "frame-ancestors 'self'; base-uri 'none'; form-action 'none'")


class _Json(_Base):
    async def get(self, run_id: str) -> None:
        content = await self.site.off_loop(lambda: static.as_json(self.site.runs, run_id))
        self.set_header("Content-Type", "application/json")
        self.finish(content)


class _Events(_Base):
    """The changes of a page as server-sent events, until the client leaves."""

    async def get(self) -> None:
        if self.site.clients >= _MAX_CLIENTS:
            raise web.HTTPError(503, reason="Too Many Readers")
        name = self.get_query_argument("page", "/")
        _, feed = await self.site.page(None if name == "/" else name)
        seen = self.request.headers.get("Last-Event-ID") or self.get_query_argument("since", "0")
        version = int(seen) if seen.isdecimal() and int(seen) <= feed.version else 0
        self.set_header("Content-Type", "text/event-stream")
        feed.add_client()
        try:
            await self._send("retry: 1000\n\n")
            while not self.request.connection.stream.closed():  # type: ignore[union-attr]  # an HTTP/1 connection has one
                changes, version = feed.since(version), feed.version
                await self._send(f"id: {version}\ndata: {orjson.dumps(changes).decode()}\n\n" if changes else ": still here\n\n")
                if feed.ended and version >= feed.version:
                    await self._send("event: end\ndata: \n\n")
                    await self.finish()
                    return
                await feed.news(version, _HEARTBEAT_S)
        except (StreamClosedError, TimeoutError):
            self.request.connection.stream.close()  # type: ignore[union-attr]  # an HTTP/1 connection has one
        finally:
            feed.remove_client()

    async def _send(self, text: str) -> None:
        """Send text and wait until it is on its way; a client that reads nothing for long is disconnected."""
        self.write(text)
        await asyncio.wait_for(self.flush(), _STALLED_S)


class _Form(_Base):
    """Receives a decision or an answer."""

    async def post(self, action: str) -> None:
        site = self.site
        origin = self.request.headers.get("Origin", "")
        key = self.get_body_argument("key", "")
        if origin != f"http://{self.request.host}" or not secrets.compare_digest(key.encode("utf-8", "replace"), site.key.encode()):
            raise web.HTTPError(403, reason="Not From This Page")
        reply = await site.off_loop(lambda: handle_form(site.runs, action, lambda name: self.get_body_argument(name, None, strip=False)))
        if "application/json" in self.request.headers.get("Accept", ""):
            self.set_header("Content-Type", "application/json")
            self.finish(orjson.dumps(reply._asdict()))
            return
        back = f"/run/{quote(unquote(self.get_body_argument('run', '')), safe='')}"
        page = Document(reply.message, "", ["status"], {"status": static.form_reply(reply.hint, back)}, 0)
        self.html(document(page), security())


def _log_nothing(_: web.RequestHandler) -> None:
    """Log nothing, because the line could contain the token."""
