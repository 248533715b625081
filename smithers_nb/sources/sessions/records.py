"""Reading a log line by line, whole or only its two ends, without keeping it.

A line that is no JSON is counted; when it is the last one, it is being written. Two ends are enough to list a session: what it says of
itself stands in front, how it ended at the back.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final, cast

import orjson

from smithers_nb.sources.sessions import claude, codex
from smithers_nb.sources.sessions.claude import ClaudeCode
from smithers_nb.sources.sessions.codex import Codex
from smithers_nb.sources.sessions.fold import Fold, Session
from smithers_nb.sources.sessions.marks import Adapter, Json, Mark, time_of

_HEAD: Final = 32_768
_TAIL: Final = 65_536
_TRIED: Final = 200
_MAX_TORN: Final = 100
Line = tuple[int, bytes]


class NotASession(ValueError):
    """The file is no session log; the message says what it is instead."""


def read_session(path: str) -> Session:
    """Read a whole log.

    Raises:
        NotASession: It is something else.
        OSError: It cannot be read.
    """
    with _opened(path) as file:
        return _folded(enumerate(file, 1), path)


def read_ends(path: str) -> Session:
    """Read the beginning and the end of a log: enough for how it ended, not for its turns; line numbers mean nothing.

    Raises:
        NotASession: It is something else.
        OSError: It cannot be read.
    """
    size = os.stat(path).st_size  # noqa: PTH116 - a folder may hold thousands
    if size <= _HEAD + 2 * _TAIL or path.endswith(".gz"):
        return read_session(path)
    with open(path, "rb") as file:  # noqa: PTH123 - a folder may hold thousands
        head = file.read(_HEAD).split(b"\n")[:-1] or [file.readline()]
        back = _TAIL
        while True:
            file.seek(max(0, size - back))
            tail = file.read(size - max(0, size - back)).split(b"\n")
            tail = [line for line in (tail[1:] if back < size else tail) if line.strip()]
            session = _of_ends(head, tail, path) if tail or back >= size else None
            if session is not None and (session.turns or back >= size):
                return session
            back *= 4


def events_of(path: str) -> Iterator[tuple[int, int | None, Mark]]:
    """Yield the marks of a log with line and time.

    Raises:
        OSError: It cannot be read.
    """
    with _opened(path) as file:
        adapter: Adapter | None = None
        for number, line in enumerate(file, 1):
            record = _json(line)
            if record is None:
                continue
            adapter = adapter or adapter_of(record)
            for mark in adapter.marks(record) if adapter else ():
                yield number, time_of(record), mark


def adapter_of(record: Json) -> Adapter | None:
    """Return what reads records like this one; None when nothing does."""
    if codex.is_codex(record):
        return Codex()
    return ClaudeCode() if claude.is_claude(record) else None


def _of_ends(head: list[bytes], tail: list[bytes], path: str) -> Session:
    first = _folded(((0, line) for line in head), path)
    last = _folded(((0, line) for line in tail), path, like=first)
    last.started = first.started if first.started is not None else last.started
    last.about.ids = list(dict.fromkeys((*first.about.ids, *last.about.ids)))
    for name in ("version", "cwd", "branch", "model", "parent"):
        setattr(last.about, name, getattr(last.about, name) or getattr(first.about, name))
    if last.turns and first.turns and not last.turns[0].label:
        last.turns[0].label = first.turns[0].label
    return last


def _folded(lines: Iterator[Line], path: str, *, like: Session | None = None) -> Session:
    adapter: Adapter | None = None
    if like is not None:
        adapter = Codex() if like.about.cli == "Codex" else ClaudeCode()
    fold = Fold(adapter.about) if adapter else None
    torn: list[int] = []
    started = ended = None
    count = tail = bad = 0
    seen = ""
    for number, line in lines:
        if not line.strip():
            continue
        count = number
        record = _json(line)
        if record is None:
            bad += 1
            tail = number
            if len(torn) < _MAX_TORN:
                torn.append(number)
        else:
            tail = 0
        if adapter is None:
            adapter = adapter_of(record or {})
            fold = Fold(adapter.about) if adapter else None
            seen = seen or _shape(record)
            if adapter is None and number > _TRIED:
                break
        if adapter is None or fold is None or record is None:
            continue
        at = time_of(record)
        started, ended = started if started is not None else at, at if at is not None else ended
        for mark in adapter.marks(record):
            fold.add(number, at, mark)
    if fold is None:
        raise NotASession(seen or ("it is empty" if not count else "its lines are no JSON objects"))
    session = fold.finish()
    session.started, session.ended, session.lines, session.torn, session.tail = started, ended, count, torn, bool(tail)
    return session


def _shape(record: Json | None) -> str:
    if not record:
        return ""
    keys = ", ".join(sorted(record)[:5])
    return f"its records have the keys {keys}, which is no record of Claude Code or Codex"


def _json(line: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _opened(path: str) -> IO[bytes]:
    if path.endswith(".gz"):
        return cast("IO[bytes]", gzip.open(path, "rb"))
    return Path(path).open("rb")
