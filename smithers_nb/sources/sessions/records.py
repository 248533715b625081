"""Read a log line by line, in whole or only its two ends, without keeping it; a JSON document is read at once.

Lines that are not valid JSON are counted; if the last line is one, it is still being written. The two ends are enough to list a session:
its metadata is at the beginning, how it ended at the end.
"""

from __future__ import annotations

import gzip
import mmap
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, cast

import orjson

from smithers_nb.sources.sessions import claude, codex, gemini, gemini_chat, opencode
from smithers_nb.sources.sessions.claude import ClaudeCode
from smithers_nb.sources.sessions.codex import Codex
from smithers_nb.sources.sessions.fold import Fold
from smithers_nb.sources.sessions.gemini import GeminiStream
from smithers_nb.sources.sessions.gemini_chat import GeminiChat
from smithers_nb.sources.sessions.marks import Adapter, AdapterMaker, Json, Mark, mapping, time_of
from smithers_nb.sources.sessions.opencode import OpenCode

if TYPE_CHECKING:
    from smithers_nb.sources.sessions.session import Session

_HEAD_BYTES: Final = 16_384
_TAIL_BYTES: Final = 32_768
_END_RECORDS: Final = (b'"type":"result"', b'"type": "result"')
_MAX_PROBED_LINES: Final = 200
_MAX_TORN: Final = 100
_DOCUMENT: Final = ".json"
Line = tuple[int, bytes]
_ADAPTERS: Final[tuple[tuple[Callable[[Json], bool], AdapterMaker], ...]] = (
    (codex.is_codex, Codex),
    (claude.is_claude, ClaudeCode),
    (gemini.is_gemini, GeminiStream),
    (gemini_chat.is_gemini_chat, GeminiChat),
    (opencode.is_opencode, OpenCode),
)
"""Per CLI: the test for its records and their adapter. A new CLI adds one line."""


class NotASession(ValueError):
    """The file is not a session log; the message says what it contains instead."""


def read_session(path: str) -> Session:
    """Read a whole log.

    Raises:
        NotASession: The file is something else.
        OSError: The file cannot be read.
    """
    if path.endswith(_DOCUMENT):
        return _read_document(path)
    with _open_log(path) as file:
        return _read_lines(enumerate(file, 1))


def read_ends(path: str) -> Session:
    """Read the beginning and end of a log: enough to see how it ended, but turns and line numbers mean nothing.

    If a log has several sessions and the last one stops without an end, the newest recorded end is used.

    Raises:
        NotASession: The file is something else.
        OSError: The file cannot be read.
    """
    size = os.stat(path).st_size  # noqa: PTH116 - a folder may hold thousands
    if size <= _HEAD_BYTES + 2 * _TAIL_BYTES or path.endswith((".gz", _DOCUMENT)):
        return read_session(path)
    with open(path, "rb") as file:  # noqa: PTH123 - a folder may hold thousands
        head = file.read(_HEAD_BYTES).split(b"\n")[:-1] or [file.readline()]
        back = _TAIL_BYTES
        while True:
            file.seek(max(0, size - back))
            tail = file.read(size - max(0, size - back)).split(b"\n")
            tail = [line for line in (tail[1:] if back < size else tail) if line.strip()]
            session = _join_ends(head, tail) if tail or back >= size else None
            if session is not None and session.about.several and session.end.state == "cut":
                session = _with_recorded_end(file, head, session)
            if session is not None and (session.turns or back >= size):
                return session
            back *= 4


def is_log(path: str) -> bool:
    """Return whether a file begins like the log of a known CLI."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a folder may hold thousands
            first = [record for line in file.read(_HEAD_BYTES).split(b"\n") if (record := _json_object(line)) is not None]
    except OSError:
        return False
    return any(adapter_of(record) for record in first)


def events_of(path: str) -> Iterator[tuple[int, int | None, Mark]]:
    """Yield the marks of a log with their lines and times.

    Raises:
        OSError: The file cannot be read.
    """
    adapter: Adapter | None = None
    for number, record in _records(path):
        adapter = adapter or adapter_of(record)
        for mark in adapter.marks(record) if adapter else ():
            yield number, time_of(record), mark


def adapter_of(record: Json) -> Adapter | None:
    """Return a new adapter for the CLI that wrote a record; None if it is unknown."""
    return next((adapter() for matches, adapter in _ADAPTERS if matches(record)), None)


def _records(path: str) -> Iterator[tuple[int, Json]]:
    if path.endswith(_DOCUMENT):
        yield from _messages(path)
        return
    with _open_log(path) as file:
        for number, line in enumerate(file, 1):
            if (record := _json_object(line)) is not None:
                yield number, record


def _read_document(path: str) -> Session:
    reader = _Reader()
    for number, record in _messages(path):
        reader.take_record(number, record)
    session = reader.session(whole=True)
    session.about.document = True
    return session


def _messages(path: str) -> Iterator[tuple[int, Json]]:
    """Yield the head of a document, then its messages with their indexes and, if recorded, their times.

    Raises:
        NotASession: The file is not one JSON object with a list of messages.
    """
    document = _json_object(Path(path).read_bytes())
    if document is None:
        raise NotASession("it is not a JSON object")
    messages = document.get("messages")
    if not isinstance(messages, list):
        raise NotASession(_shape(document))
    yield 0, {key: value for key, value in document.items() if key != "messages"}
    for number, message in enumerate(messages):
        if isinstance(message, dict):
            created = mapping(mapping(message.get("info")).get("time")).get("created")
            yield number, message if created is None else message | {"timestamp": created}


def _with_recorded_end(file: IO[bytes], head: list[bytes], stops: Session) -> Session:
    """Return the session up to the newest recorded end of a log, or the session as read if there is none."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        at = max(whole.rfind(mark) for mark in _END_RECORDS)
        if at < 0:
            return stops
        stop = whole.find(b"\n", at)
        lines = whole[max(0, at - _TAIL_BYTES) : stop if stop > 0 else len(whole)].split(b"\n")
    ended = _join_ends(head, [line for line in (lines[1:] if at > _TAIL_BYTES else lines) if line.strip()])
    ended.ended = stops.ended
    return ended if ended.turns else stops


def _join_ends(head: list[bytes], tail: list[bytes]) -> Session:
    first = _read_lines(((0, line) for line in head), whole=False)
    last = _read_lines(((0, line) for line in tail), like=first, whole=False)
    last.started = first.started if first.started is not None else last.started
    last.about.ids = list(dict.fromkeys((*first.about.ids, *last.about.ids)))
    for name in ("version", "cwd", "branch", "model", "parent"):
        setattr(last.about, name, getattr(last.about, name) or getattr(first.about, name))
    if last.turns and first.turns and not last.turns[0].label:
        last.turns[0].label = first.turns[0].label
    return last


class _Reader:
    """Reads lines or records one at a time and counts those that are not JSON."""

    def __init__(self, like: Session | None = None) -> None:
        self.adapter: Adapter | None = None
        self.fold: Fold | None = None
        if like is not None:
            self.adapter = next(made for _, adapter in _ADAPTERS if (made := adapter()).about.cli == like.about.cli)
            self.fold = Fold(self.adapter.about, explicit=like.explicit)
        self.torn: list[int] = []
        self.first: Json | None = None
        self.last: Json = {}
        self.count = 0
        self.tail = False
        self.shape = ""

    def take(self, number: int, line: bytes) -> None:
        """Read one line."""
        record = _json_object(line)
        self.count, self.tail = number, record is None
        if record is not None:
            self.take_record(number, record)
        elif len(self.torn) < _MAX_TORN:
            self.torn.append(number)

    def take_record(self, number: int, record: Json) -> None:
        """Read one record; the first that a CLI is recognised by selects the adapter."""
        self.count = number
        if self.adapter is None or self.fold is None:
            self.shape = self.shape or _shape(record)
            self.adapter = adapter_of(record)
            self.fold = Fold(self.adapter.about) if self.adapter else None
        if self.adapter is None or self.fold is None:
            return
        if "timestamp" in record:
            self.first, self.last = self.first or record, record
        at, read = None, False
        for mark in self.adapter.marks(record):
            at, read = (at, read) if read else (time_of(record), True)
            self.fold.add(number, at, mark)

    def session(self, *, whole: bool) -> Session:
        """Return the session that was read.

        Raises:
            NotASession: No line was a record of a known CLI.
        """
        if self.fold is None:
            raise NotASession(self.shape or ("its lines are not JSON objects" if self.count else "it is empty"))
        session = self.fold.finish(whole=whole)
        session.started, session.ended = time_of(self.first or {}), time_of(self.last)
        session.lines, session.torn, session.tail = self.count, self.torn, self.tail
        return session


def _read_lines(lines: Iterable[Line], *, like: Session | None = None, whole: bool = True) -> Session:
    reader = _Reader(like)
    for number, line in lines:
        if not line.isspace() and line:
            reader.take(number, line)
        if reader.adapter is None and number > _MAX_PROBED_LINES:
            break
    return reader.session(whole=whole)


def _shape(record: Json | None) -> str:
    if not record:
        return ""
    keys = ", ".join(sorted(record)[:5])
    return f"its records have the keys {keys}, unlike those of Claude Code, Codex, Gemini CLI or OpenCode"


def _json_object(line: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _open_log(path: str) -> IO[bytes]:
    if path.endswith(".gz"):
        return cast("IO[bytes]", gzip.open(path, "rb"))
    return Path(path).open("rb")
