"""What a record of a session means, the same for every CLI: a `Mark` per fact, which the adapters make and the fold reads.

A record may be ten megabytes long, so of its text only the beginning is kept. Keys lie in logs: `clean` takes them out before a text is
cut to what may be shown, and is applied to what is kept of a session only, because it costs more than all of the reading.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

import orjson

from smithers_nb.model.timestamps import epoch_ms
from smithers_nb.redact import redact

Kind = Literal[
    "begin", "prompt", "command", "say", "reply", "call", "result", "retry", "error", "interrupt", "denied", "done", "compact", "rollback",
    "resumed", "bye", "usage",
]  # fmt: skip
"""`begin` opens a turn where the log says so, `prompt` is what the person wrote, `command` a slash command; `say` goes before more work,
`reply` may be the answer; `retry` is an error that the CLI tries again by itself, `error` one that ended the turn."""

Json = Mapping[str, Any]

_READ: Final = 8_000
_KEPT: Final = 1_000
_OF_A_CALL: Final = 600
_PATCHED: Final = re.compile(r"\*\*\* (?:Update|Add|Delete) File: (.{1,300}?)(?=\\n|\n|$)")
_MAX_NESTED: Final = 3
_MAX_TIME: Final = 10**14
"""Epoch milliseconds, in the year 5138; what is more is no time."""


@dataclass(slots=True)
class Mark:
    """One fact.

    Attributes:
        kind: What it is.
        text: Beginning of the words of the record, as they are; see `clean`.
        key: Id of the call or the message it belongs to.
        ok: A result that reports no failure.
        code: Exit code, HTTP status or the CLI's own code.
        more: What only some kinds have: `person` (who denied), `attempt` and `limit` of a retry, `name` of a tool, counts of tokens.
    """

    kind: Kind
    text: str = ""
    key: str = ""
    ok: bool = True
    code: str = ""
    more: dict[str, Any] = field(default_factory=dict)


@dataclass
class About:
    """What a log says of itself; the newest value wins.

    Attributes:
        ids: Ids of the sessions in the file, in order.
        cli: Name of the CLI.
        version: Its version.
        cwd: Folder it worked in.
        branch: Branch of the repository there.
        model: Model that answered last.
        parent: Id of the session that started this one.
        document: The log is one JSON document: a record's number is its place among the messages, from 0.
        several: Sessions may follow each other in its file, each with an end of its own.
        unknown: Records of a type that this version does not know, by type.
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

    def count_unknown(self, name: str) -> None:
        """Count a record of an unknown type."""
        self.unknown[name] = self.unknown.get(name, 0) + 1


class Adapter(Protocol):
    """Reads the records of one CLI, in the order of the file."""

    about: About

    def marks(self, record: Json) -> Iterator[Mark]:
        """Describe what a record means; nothing for one that does not matter or is not known."""
        ...


AdapterMaker = Callable[[], Adapter]


def raw(value: object) -> str:
    """Return the beginning of a text, without NUL characters: UTF-16 that was read as bytes has one after each letter."""
    return value[:_READ].replace("\x00", "") if isinstance(value, str) else ""


def of_call(value: object) -> str:
    """Return of what a tool was called with as much as tells what it does."""
    return raw(value)[:_OF_A_CALL]


def patched(patch: object) -> list[str]:
    """Return the files that a patch in the form of `apply_patch` changes."""
    return list(dict.fromkeys(found.strip() for found in _PATCHED.findall(raw(patch))))


def clean(words: str) -> str:
    """Return a text without its secrets, and then no more of it than can be shown."""
    return redact(words[:_READ]).strip()[:_KEPT]


def provider_words(words: str) -> tuple[str, str]:
    """Take a provider's message and its code out of the JSON that it is told in, which may hold JSON again.

    A request's id in it would make each error one of its own.
    """
    head, message, code = words.partition("{")[0].strip(" [:"), words, ""
    for _ in range(_MAX_NESTED):
        said = _object_in(message)
        inner = mapping(said.get("error")) or said
        if not text(inner.get("message")):
            break
        message, code = inner["message"].strip(), str(inner.get("code") or code)
    if message == words:
        return words, ""
    return ": ".join(part for part in (head, code if code.isdecimal() else "", message) if part), code


def _object_in(words: str) -> Json:
    """Return the JSON object that stands in a text, an empty one when there is none."""
    first, last = words.find("{"), words.rfind("}")
    try:
        return mapping(orjson.loads(words[first : last + 1])) if 0 <= first < last else {}
    except orjson.JSONDecodeError:
        return {}


def mapping(value: object) -> Json:
    """Return a JSON object, an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def text(value: object) -> str:
    """Return a string, an empty one for anything else."""
    return value if isinstance(value, str) else ""


def joined(content: object) -> str:
    """Return the text of a message's content, which is a string or a list of blocks."""
    if isinstance(content, list):
        return "\n".join(text(block.get("text")) for block in content if isinstance(block, dict) and block.get("text"))
    return text(content)


def time_of(record: Json) -> int | None:
    """Return when a record was written, epoch milliseconds."""
    stamp = record.get("timestamp")
    if isinstance(stamp, str):
        return epoch_ms(stamp)
    return stamp if isinstance(stamp, int) and 0 < stamp < _MAX_TIME else None
