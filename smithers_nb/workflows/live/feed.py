"""A page made of fragments, which are rendered again when their store changes and sent to the clients that follow the page.

There is no queue per client. A feed keeps the newest text of each fragment with the version in which it changed, and a client asks for
what changed since the version it has. So a slow client gets the newest state later, and a dead client costs nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from smithers_nb.errors import SmithersNbError
from smithers_nb.present.html.markup import Html, h
from smithers_nb.present.html.parts import note
from smithers_nb.present.html.text import one_line

if TYPE_CHECKING:
    from smithers_nb.workflows.live.changes import Mark

_POLL_S: Final = 0.2
"""Seconds between two checks whether a store has changed."""

_FINAL_S: Final = 3.0
"""Seconds that clients have to receive the final state."""

_FIRST_SHARE, _OTHER_SHARE = 0.03, 0.01
"""Share of one CPU core that rendering the first part of a page, and each other part, may take, however often the store changes."""

PROBLEM: Final = "problem-"
"""Prefix of the ids of fragments that report a reading error, one for each part."""

_log = logging.getLogger(__name__)


class Part(NamedTuple):
    """Fragments that are rendered together.

    Attributes:
        render: Reads the store and returns HTML by fragment id; called in a separate thread, never concurrently.
        mark: Returns a value that differs when the store may have changed.
        every_s: Seconds after which the part is rendered even without a change, because its text depends on the time.
        prefix: Prefix of the ids of fragments that come and go; those that are no longer rendered are removed from the page.
    """

    render: Callable[[], Mapping[str, Html]]
    mark: Callable[[], Mark]
    every_s: float = 15.0
    prefix: str = "\0"


class Feed:
    """The fragments of one page, kept up to date from `start` to `stop`.

    Attributes:
        version: Number of the newest change.
        clients: Number of clients that follow it.
        ended: Whether nothing more will follow.
        idle_since: When the last client left, in `time.monotonic` seconds.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self.version = self.clients = 0
        self.idle_since = time.monotonic()
        self.ended = False
        self._parts = parts
        self._fragments: dict[str, tuple[int, Html | None]] = {}
        self._news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._threads = [ThreadPoolExecutor(1, "live page") for _ in parts]
        self._first = asyncio.Event()

    def start(self) -> None:
        """Start to follow the store."""
        self._tasks = [asyncio.create_task(self._follow(*pair)) for pair in zip(self._parts, self._threads, strict=True)]

    async def ready(self) -> None:
        """Wait until the first part, without which a page makes no sense, has been rendered once."""
        await self._first.wait()

    async def stop(self) -> None:
        """Send the clients the final state and release everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.clients:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._render_all(), _FINAL_S)
        self.ended = True
        self._wake()
        end = time.monotonic() + _FINAL_S
        while self.clients and time.monotonic() < end:  # noqa: ASYNC110  # a few seconds, once
            await asyncio.sleep(_POLL_S)
        for thread in self._threads:
            thread.shutdown(wait=False, cancel_futures=True)

    def add_client(self) -> None:
        """Count a client that starts to follow the page."""
        self.clients += 1

    def remove_client(self) -> None:
        """Stop counting a client that has left."""
        self.clients -= 1
        self.idle_since = time.monotonic()

    def since(self, version: int) -> dict[str, Html | None]:
        """Return the fragments that changed after a version, in order; None stands for a removed fragment."""
        return {name: text for name, (changed, text) in self._fragments.items() if changed > version}

    async def news(self, version: int, timeout_s: float) -> None:
        """Wait until there is something newer than a version, or until the timeout."""
        end = time.monotonic() + timeout_s
        while self.version <= version and not self.ended and (left := end - time.monotonic()) > 0:
            try:
                await asyncio.wait_for(self._news.wait(), left)
            except TimeoutError:
                return

    async def _render_all(self) -> None:
        for part, thread in zip(self._parts, self._threads, strict=True):
            fragments, _ = await self._render(part, thread)
            self._put(part, fragments)

    async def _render(self, part: Part, thread: ThreadPoolExecutor) -> tuple[Mapping[str, Html], float]:
        problem = f"{PROBLEM}{self._parts.index(part)}"
        return await asyncio.get_running_loop().run_in_executor(thread, _render, part, problem)

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _follow(self, part: Part, thread: ThreadPoolExecutor) -> None:
        is_first = part is self._parts[0]
        rendered: Mark | None = None
        due = 0.0
        if not is_first:  # the first part is what a page needs most
            await self.ready()
        while True:
            mark, pause = part.mark(), _POLL_S
            if mark != rendered or time.monotonic() >= due:
                fragments, cost = await self._render(part, thread)
                self._put(part, fragments)
                rendered, due = mark, time.monotonic() + part.every_s
                pause = max(_POLL_S, cost / (_FIRST_SHARE if is_first else _OTHER_SHARE))
                if is_first:
                    self._first.set()
            await asyncio.sleep(pause)

    def _put(self, part: Part, fragments: Mapping[str, Html]) -> None:
        known = {name: text for name, (_, text) in self._fragments.items()}
        removed = {
            name: None for name, text in known.items() if name.startswith(part.prefix) and text is not None and name not in fragments
        }
        news = {name: text for name, text in ({**removed, **fragments}).items() if name not in known or known[name] != text}
        if not news:
            return
        self.version += 1
        self._fragments |= {name: (self.version, text) for name, text in news.items()}
        self._wake()


def _render(part: Part, problem: str) -> tuple[Mapping[str, Html], float]:
    """Return the fragments of a part and the CPU seconds spent; on an error only the problem, so that the page keeps its old content."""
    start = time.thread_time()
    try:
        fragments: Mapping[str, Html] = {problem: Html(""), **part.render()}
    except (SmithersNbError, OSError) as error:
        fragments = {problem: h("div", note(one_line(error, 600), state="failed"))}
    except Exception as error:  # noqa: BLE001  # a page that silently stops would be worse
        _log.exception("a live page could not be rendered")
        reason = f"this page could not be updated: {type(error).__name__}: {one_line(error, 300)}"
        fragments = {problem: h("div", note(reason, state="failed"))}
    return fragments, time.thread_time() - start
