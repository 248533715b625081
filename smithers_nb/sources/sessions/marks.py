"""The common form of session records of every CLI: one `Mark` per fact, written by the adapters and read by the fold.

A record can be ten megabytes long, so only the beginning of its text is kept. Logs contain secrets: `clean` redacts a text before cutting
it to the length that is shown. It runs only on what a session keeps, because it costs more than all the reading.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

import orjson

from smithers_nb.model.timestamps import epoch_ms
from smithers_nb.redact import redact

Kind = Literal[
    "begin", "prompt", "command", "say", "reply", "call", "result", "retry", "error", "interrupt", "denied", "done", "compact", "rollback",
    "resumed", "bye", "usage",
]  # fmt: skip
"""`begin` opens a turn if the log records that; `prompt` is what the person wrote and `command` a slash command; more work follows a `say`,
while a `reply` may be the answer; the CLI recovers from a `retry` by itself, while an `error` ended the turn."""

Json = Mapping[str, Any]

_MAX_READ: Final = 8_000
_MAX_SHOWN: Final = 1_000
_MAX_CALL: Final = 600
_MAX_RESULT: Final = 300
_PATCHED: Final = re.compile(r"\*\*\* (?:Update|Add|Delete) File: (.{1,300}?)(?=\\n|\n|$)")
_MAX_NESTED: Final = 3
_MAX_TIME: Final = 10**14
"""Epoch milliseconds, in the year 5138; larger numbers are not times."""


@dataclass(slots=True)
class Mark:
    """One fact in a log.

    Attributes:
        kind: Kind of fact.
        text: Beginning of the record's text, not yet redacted; see `clean`.
        key: Id of the call or message it belongs to.
        ok: False for a result that reports a failure.
        code: Exit code, HTTP status or the CLI's own code.
        more: Fields of some kinds only: `person` (a person denied it), `attempt` and `limit` of a retry, `name` of a tool, token counts.
    """

    kind: Kind
    text: str = ""
    key: str = ""
    ok: bool = True
    code: str = ""
    more: dict[str, Any] = field(default_factory=dict)


@dataclass
class About:
    """Metadata of a log; the newest value wins.

    Attributes:
        ids: Ids of the sessions in the file, in order.
        cli: Name of the CLI.
        version: Version of the CLI.
        cwd: Its working directory.
        branch: Git branch there.
        model: Model that answered last.
        parent: Id of the session that started this one.
        document: The log is one JSON document, so a record's number is its index among the messages, starting at 0.
        several: The file may contain several sessions, each with its own end.
        unknown: Number of records of each unknown type.
    """

    ids: list[str] = field(default_factory=list)
    cli: str = ""
    version: str = ""
    cwd: str = ""
    branch: str = ""
    model: str = ""
    parent: str = ""
    document: bool = False
    several: bool = False
    unknown: dict[str, int] = field(default_factory=dict)

    def add_id(self, session_id: str) -> None:
        """Add the id of a session, unless it is empty or known."""
        if session_id and session_id not in self.ids:
            self.ids.append(session_id)

    def count_unknown(self, name: str) -> None:
        """Count a record of an unknown type."""
        self.unknown[name] = self.unknown.get(name, 0) + 1


class Adapter(Protocol):
    """Reads the records of one CLI, in the order of the file."""

    about: About

    def marks(self, record: Json) -> Iterator[Mark]:
        """Yield the marks of a record; none for one that is irrelevant or unknown."""
        ...


AdapterMaker = Callable[[], Adapter]


def raw(value: object) -> str:
    """Return the beginning of a text without NUL characters, which UTF-16 read as bytes has after each letter."""
    return value[:_MAX_READ].replace("\x00", "") if isinstance(value, str) else ""


def call_text(value: object) -> str:
    """Return as much of a tool's input as is needed to see what the call does."""
    return raw(value)[:_MAX_CALL]


def input_text(given: Json, keys: Iterable[str]) -> str:
    """Return the most telling field of a tool's input: the first of some keys that has a value."""
    return call_text(next((given[key] for key in keys if given.get(key)), ""))


def result_text(words: str, *, ok: bool) -> str:
    """Return the text of a call's result; of a success only the beginning, because it is rarely needed."""
    return raw(words)[:_MAX_RESULT] if ok else raw(words)


def token_counts(usage: Json, names: Mapping[str, str]) -> dict[str, Any]:
    """Return token counts under our names, given the names that a CLI uses for them."""
    return {ours: usage[theirs] for ours, theirs in names.items() if isinstance(usage.get(theirs), int)}


def patched_files(patch: object) -> list[str]:
    """Return the files that a patch in `apply_patch` format changes."""
    return list(dict.fromkeys(file.strip() for file in _PATCHED.findall(raw(patch))))


def clean(words: str) -> str:
    """Redact the secrets in a text, then cut it to the length that is shown."""
    return redact(words[:_MAX_READ]).strip()[:_MAX_SHOWN]


def provider_error(words: str) -> tuple[str, str]:
    """Return a provider's error message and code from the JSON around them, which may be nested.

    The JSON also contains a request id, which would make every error unique.
    """
    head, message, code = words.partition("{")[0].strip(" [:"), words, ""
    for _ in range(_MAX_NESTED):
        answer = _object_in(message)
        inner = mapping(answer.get("error")) or answer
        if not text(inner.get("message")):
            break
        message, code = inner["message"].strip(), str(inner.get("code") or code)
    if message == words:
        return words, ""
    return ": ".join(part for part in (head, code if code.isdecimal() else "", message) if part), code


def _object_in(words: str) -> Json:
    """Return the JSON object contained in a text, or an empty one."""
    first, last = words.find("{"), words.rfind("}")
    try:
        return mapping(orjson.loads(words[first : last + 1])) if 0 <= first < last else {}
    except orjson.JSONDecodeError:
        return {}


def mapping(value: object) -> Json:
    """Return the value if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def objects(value: object) -> list[Json]:
    """Return the JSON objects in a list; empty for anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(value: object) -> str:
    """Return the value if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def joined(content: object) -> str:
    """Return the text of a message's content, which is a string or a list of blocks."""
    if isinstance(content, list):
        return "\n".join(text(block.get("text")) for block in objects(content) if block.get("text"))
    return text(content)


def time_of(record: Json) -> int | None:
    """Return when a record was written, in epoch milliseconds."""
    stamp = record.get("timestamp")
    if isinstance(stamp, str):
        return epoch_ms(stamp)
    return stamp if isinstance(stamp, int) and 0 < stamp < _MAX_TIME else None
