"""The versions of what a person is asked: a decision counts only for the version that the person saw.

Each approval or question has one row here with what is asked now, a digest of the part that a decision is bound to, and the earlier
versions with their decisions. The digest excludes details declared volatile, such as a time; those are shown but not bound.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
import sqlalchemy as sa

from smithers_nb.engine.journal.records import as_json, put
from smithers_nb.engine.journal.schema import requests

if TYPE_CHECKING:
    from smithers_nb.engine.journal.records import Node

_ADDRESS: Final = re.compile(r" at 0x[0-9a-f]+")
"""The address in a Python object's repr, which differs between processes."""

_DETAILS: Final = "details"
_MAX_SHOWN: Final = 120


class Difference(NamedTuple):
    """One part of a request in two versions; None where a version lacks it."""

    name: str
    before: Any
    now: Any


class Earlier(NamedTuple):
    """An earlier version of a request, which was decided or answered.

    Attributes:
        asked: The request: `title`, `summary`, `details` of a gate; `prompt`, `schema`, `options` of a question.
        said: `approved`, `denied`, or the answer.
        at: Epoch milliseconds.
    """

    asked: dict[str, Any]
    said: Any
    by: str
    at: int
    note: str | None = None


class Request(NamedTuple):
    """What is asked now.

    Attributes:
        asked: As in `Earlier`, as JSON.
        volatile: Names of details that a decision is not bound to.
        earlier: The earlier versions that were decided or answered, oldest first.
    """

    asked: dict[str, Any]
    volatile: tuple[str, ...] = ()
    earlier: tuple[Earlier, ...] = ()

    @classmethod
    def of(cls, asked: Mapping[str, Any], volatile: Sequence[str] = ()) -> Request:
        """Build a request from a notebook's values; values that are not JSON become text."""
        return cls(orjson.loads(_ADDRESS.sub("", as_json(dict(asked)))), tuple(volatile))

    @property
    def digest(self) -> str:
        """Digest of the part that a decision is bound to."""
        bound = {name: part for name, part in self.asked.items() if part}  # a reader cannot tell a missing part from an empty one
        if _DETAILS in bound:
            bound[_DETAILS] = {name: value for name, value in bound[_DETAILS].items() if name not in self.volatile}
        return hashlib.sha256(orjson.dumps(bound, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]

    @property
    def changes(self) -> list[Difference]:
        """The differences from the newest decided version; empty when there is none."""
        return differences(self.earlier[-1].asked, self.asked) if self.earlier else []


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Difference]:
    """Return the differences between two versions, part by part, details by name."""
    old, new = _parts(before), _parts(now)
    return [Difference(name, old.get(name), new.get(name)) for name in {**new, **old} if old.get(name) != new.get(name)]


def in_words(changes: Sequence[Difference]) -> str:
    """Return the differences as one line for the log."""
    return "; ".join(f"{change.name}: {_short(change.before)} → {_short(change.now)}" for change in changes)


def read(connection: sa.Connection, node: Node) -> Request | None:
    """Return what a node asks; None when it asks nothing, or was written by a version without this table."""
    row = connection.execute(sa.select(requests.c.asked_json, requests.c.earlier_json).where(*node.key(requests))).first()
    return None if row is None else parsed(row.asked_json, row.earlier_json)


def parsed(asked_json: str, earlier_json: str) -> Request:
    """Build a request from its row."""
    kept = orjson.loads(asked_json)
    return Request(kept["asked"], tuple(kept["volatile"]), tuple(Earlier(**version) for version in orjson.loads(earlier_json)))


def write(connection: sa.Connection, node: Node, request: Request) -> None:
    """Store what a node asks now."""
    values = {
        "digest": request.digest,
        "asked_json": as_json({"asked": request.asked, "volatile": list(request.volatile)}),
        "earlier_json": as_json([version._asdict() for version in request.earlier]),
    }
    put(connection, requests, node, values)


def _parts(asked: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name: part or None for name, part in asked.items() if name != _DETAILS}
    return plain | {f"{_DETAILS}.{name}": value for name, value in (asked.get(_DETAILS) or {}).items()}


def _short(value: Any) -> str:
    text = "nothing" if value is None else orjson.dumps(value).decode()
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
