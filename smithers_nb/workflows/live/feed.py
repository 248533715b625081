"""A page in fragments that are rendered again when their store changed, and handed to whoever looks at it.

There is no queue per client. A feed keeps the newest text of each fragment with the version in which it changed, and a client asks for
what changed since the version it has seen; so one that is slow gets the newest state later, and one that is dead costs nothing.
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

LOOK_S: Final = 0.2
"""Seconds between two looks at whether a store changed."""

_LAST_S: Final = 3.0
"""Seconds in which clients get the last state."""

_FIRST_SHARE, _OTHER_SHARE = 0.03, 0.01
"""Parts of one core that the first part of a page, and each other one, may take, however often their store changes."""

PROBLEM: Final = "problem-"
"""Begins the fragments that say why something could not be read, one for each part."""

_log = logging.getLogger(__name__)


class Part(NamedTuple):
    """Fragments that are rendered together.

    Attributes:
        render: Reads the store and returns fragment id to HTML; called in a thread of its own, never twice at once.
        mark: Tells whether the store may have changed.
        every_s: Seconds after which it is rendered without a change as well, because time itself changes what it says.
        prefix: Begins the ids of fragments that come and go with what there is; what is not rendered any more is taken away.
    """

    render: Callable[[], Mapping[str, Html]]
    mark: Callable[[], Mark]
    every_s: float = 15.0
    prefix: str = "\0"


class Feed:
    """The fragments of one page, kept up to date from `start` to `stop`.

    Attributes:
        version: Number of the newest change.
        clients: How many look at it.
        ended: Whether nothing follows any more.
        idle_since: When the last client left, of `time.monotonic`.
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
        """Begin to follow the store."""
        self._tasks = [asyncio.create_task(self._follow(*pair)) for pair in zip(self._parts, self._threads, strict=True)]

    async def ready(self) -> None:
        """Wait until the first part, which a page cannot do without, was rendered once."""
        await self._first.wait()

    async def stop(self) -> None:
        """Show whoever looks the last state, and let go of everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.clients:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._look_again(), _LAST_S)
        self.ended = True
        self._wake()
        end = time.monotonic() + _LAST_S
        while self.clients and time.monotonic() < end:  # noqa: ASYNC110  # a few seconds, once
            await asyncio.sleep(LOOK_S)
        for thread in self._threads:
            thread.shutdown(wait=False, cancel_futures=True)

    def joined(self) -> None:
        """Count a client that began to look."""
        self.clients += 1

    def left(self) -> None:
        """Count a client that went away."""
        self.clients -= 1
        self.idle_since = time.monotonic()

    def since(self, version: int) -> dict[str, Html | None]:
        """Return the fragments that changed after a version, in their order; None for one that is gone."""
        return {name: text for name, (changed, text) in self._fragments.items() if changed > version}

    async def news(self, version: int, timeout_s: float) -> None:
        """Wait until there is something newer than a version, at most so long."""
        end = time.monotonic() + timeout_s
        while self.version <= version and not self.ended and (left := end - time.monotonic()) > 0:
            try:
                await asyncio.wait_for(self._news.wait(), left)
            except TimeoutError:
                return

    async def _look_again(self) -> None:
        for part, thread in zip(self._parts, self._threads, strict=True):
            found, _ = await self._render(part, thread)
            self._put(part, found)

    async def _render(self, part: Part, thread: ThreadPoolExecutor) -> tuple[Mapping[str, Html], float]:
        problem = f"{PROBLEM}{self._parts.index(part)}"
        return await asyncio.get_running_loop().run_in_executor(thread, _rendered, part, problem)

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _follow(self, part: Part, thread: ThreadPoolExecutor) -> None:
        seen: Mark | None = None
        due = 0.0
        if part is not self._parts[0]:  # what a page cannot do without comes first
            await self.ready()
        while True:
            mark, pause = part.mark(), LOOK_S
            if mark != seen or time.monotonic() >= due:
                found, cost = await self._render(part, thread)
                self._put(part, found)
                seen, due = mark, time.monotonic() + part.every_s
                share = _FIRST_SHARE if part is self._parts[0] else _OTHER_SHARE
                pause = max(LOOK_S, cost / share)
                if part is self._parts[0]:
                    self._first.set()
            await asyncio.sleep(pause)

    def _put(self, part: Part, found: Mapping[str, Html]) -> None:
        known = {name: text for name, (_, text) in self._fragments.items()}
        gone = {name: None for name, text in known.items() if name.startswith(part.prefix) and text is not None and name not in found}
        news = {name: text for name, text in ({**gone, **found}).items() if name not in known or known[name] != text}
        if not news:
            return
        self.version += 1
        self._fragments |= {name: (self.version, text) for name, text in news.items()}
        self._wake()


def _rendered(part: Part, problem: str) -> tuple[Mapping[str, Html], float]:
    """Render a part and measure what it cost; what cannot be read is said on the page, which keeps what it showed before."""
    began = time.thread_time()
    try:
        found: Mapping[str, Html] = {problem: Html(""), **part.render()}
    except (SmithersNbError, OSError) as error:
        found = {problem: h("div", note(one_line(error, 600), state="failed"))}
    except Exception as error:  # noqa: BLE001  # a page that silently stops would be worse
        _log.exception("a live page could not be rendered")
        found = {problem: h("div", note(f"this page could not be updated: {type(error).__name__}: {one_line(error, 300)}", state="failed"))}
    return found, time.thread_time() - began
