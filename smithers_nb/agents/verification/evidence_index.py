"""The rows of a run by their references: the ground that every claim of a provider is held against.

Gets the snapshot of a run (its child runs are followed) and the text of its workflow; gives the text of any row, without secrets, and
tells whether a quote occurs in it. A reference of a child run's row is `RUN/attempt:…`, as in the verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.model.rows import EventRow
from smithers_nb.redact import redact, redact_value
from smithers_nb.sources.stores.json_text import dump, parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from smithers_nb.model.verdict import Evidence
    from smithers_nb.sources.snapshot import Snapshot

_DEEPEST: Final = 8
_MAX_RUNS: Final = 50
_MAX_LENGTH: Final = 1_000_000
_DIGITS: Final = 15
_SHORTEST_QUOTE: Final = 8
"""Characters that a quote needs to prove anything, unless the row says no more than that."""


class Record:
    """Everything that may be quoted about one run. Nothing is changed through it.

    Attributes:
        snapshot: The run that was asked about.
        source_name: File name of its workflow.
        source_lines: Text of that file as far as it is at hand, without secrets.
    """

    def __init__(self, snapshot: Snapshot, *, source_path: str | None = None, source: str = "", cited: Iterable[Evidence] = ()) -> None:
        """Take the run.

        Args:
            snapshot: The run.
            source_path: Path of its workflow.
            source: Text of that file, without secrets.
            cited: Quotes of the deterministic investigation; they hold by themselves.
        """
        self.snapshot = snapshot
        self.source_name = PurePath((source_path or "").replace("\\", "/")).name
        self.source_lines = redact(source).splitlines()
        self.cited = tuple(cited)
        self._texts: dict[str, str | None] = {}
        self._json: dict[str, str] = {}

    @cached_property
    def runs(self) -> Mapping[str, Snapshot]:
        """The run and its child runs by id."""
        return {one.run_id: one for one, _ in zip(_family(self.snapshot, _DEEPEST), range(_MAX_RUNS), strict=False)}

    @cached_property
    def nodes(self) -> frozenset[tuple[str, str, int]]:
        """Every node as run, node id and iteration."""
        return frozenset((run_id, node.node_id, node.iteration) for run_id, one in self.runs.items() for node in one.nodes)

    def text(self, ref: str) -> str | None:
        """Return all that a row says, a line per field, without secrets; None when there is no such row."""
        if ref not in self._texts:
            found = self._read(ref)
            self._texts[ref] = _said(found) if isinstance(found, dict) else found
            if isinstance(found, dict):  # a quote may have been copied out of JSON, as the lines of the log are told in it
                self._json[ref] = (dump(found) or "")[:_MAX_LENGTH]
        return self._texts[ref]

    def refusal(self, ref: str, quote: str) -> str:
        """Explain why a quote does not hold; empty when it does."""
        wanted = flat(redact(quote))
        cited = [flat(redact(item.quote)) for item in self.cited if item.ref == ref]
        text = self.text(ref)
        if text is None and not cited:
            return "there is no such row"
        row = text or ""
        places = (self._around(ref) or flat(row), flat(_escaped(row)), flat(self._json.get(ref, "")), *cited)
        if wanted in cited:
            return ""
        if len(wanted) < min((_SHORTEST_QUOTE, *(len(place) for place in places if place))):
            return "its quote is too short to show anything"
        return "" if any(wanted in place for place in places) else "its quote does not occur in that row"

    def mentions(self, words: str) -> bool:
        """Return whether words occur in any row that was read so far, in the workflow's file or among the quotes."""
        wanted = flat(redact(words)).casefold()
        texts = (*(text for text in self._texts.values() if text), "\n".join(self.source_lines), *(item.quote for item in self.cited))
        return any(wanted in flat(text).casefold() for text in texts)

    def events(self, run_id: str, first: int, last: int) -> list[EventRow]:
        """Return the lines of a run's log from one position to another, without heartbeats."""
        one = self.runs.get(run_id)
        return [event for event in one.events if first <= event.seq <= last] if one else []

    def own(self, run_id: str, ref: str) -> str:
        """Write the reference of a row of a run, with the run in front when it is a child."""
        return ref if run_id == self.snapshot.run_id else f"{run_id}/{ref}"

    def _read(self, ref: str) -> dict[str, Any] | str | None:
        kind, _, key = ref.partition(":")
        if kind == "source":
            line = self._source_line(key)
            return None if line is None else self.source_lines[line - 1]
        if kind == "run":
            return _fields(self.runs[key].run) if key in self.runs else None
        if kind in _FINDERS:
            return _found(self.snapshot, kind, key)
        for run_id, one in self.runs.items():  # an id may hold slashes and colons, so it is not cut off but compared
            inner, _, key = ref.removeprefix(f"{run_id}/").partition(":")
            if ref.startswith(f"{run_id}/") and inner in _FINDERS:
                return _found(one, inner, key)
        return None

    def _source_line(self, key: str) -> int | None:
        name, _, number = key.rpartition(":")
        line = int(number) if number.isdecimal() and len(number) < len(str(_MAX_LENGTH)) else 0
        return line if name == self.source_name and 0 < line <= len(self.source_lines) else None

    def _around(self, ref: str) -> str:
        """Return a line of the workflow with those that follow it, as a quote may run over several."""
        kind, _, key = ref.partition(":")
        line = self._source_line(key) if kind == "source" else None
        return flat("\n".join(self.source_lines[line - 1 : line + 9])) if line else ""


def _family(snapshot: Snapshot, depth: int) -> Iterator[Snapshot]:
    yield snapshot
    for child in snapshot.children if depth else ():
        yield from _family(child, depth - 1)


def _found(snapshot: Snapshot, kind: str, key: str) -> dict[str, Any] | None:
    rows, key_of = _FINDERS[kind]
    return next((_fields(row) for row in rows(snapshot, key) if key_of(row) == key), None)


def _event(snapshot: Snapshot, seq: str) -> list[Any]:
    """Read one line of the log, also one of the kinds that a snapshot leaves out."""
    number = int(seq) if seq.isdecimal() and len(seq) <= _DIGITS else -1
    return list(snapshot.source.rows(EventRow, snapshot.run_id, only={"seq": [number]}))


_FINDERS: Final[dict[str, tuple[Callable[[Snapshot, str], list[Any]], Callable[[Any], str]]]] = {
    "event": (_event, lambda row: str(row.seq)),
    "attempt": (lambda one, _: list(one.attempts), lambda row: f"{row.node_id}/{row.iteration}/{row.attempt}"),
    "node": (lambda one, _: list(one.nodes), lambda row: f"{row.node_id}/{row.iteration}"),
    "approval": (lambda one, _: list(one.approvals), lambda row: f"{row.node_id}/{row.iteration}"),
    "question": (lambda one, _: list(one.questions), lambda row: str(row.request_id)),
}
"""Kinds of rows, how to read them, and what stands behind the colon of their reference."""


def _fields(row: Any) -> dict[str, Any]:
    """Return a typed row without what is empty and without secrets; JSON columns are opened, so that quotes need no escapes."""
    cleaned: dict[str, Any] = redact_value({name: _opened(value) for name, value in row._asdict().items() if value not in (None, "")})
    return cleaned


def _said(fields: dict[str, Any]) -> str:
    """Write a row as lines of `name: value`."""
    return "\n".join(f"{name}: {value}" for name, value in _leaves("", fields))[:_MAX_LENGTH]


def _opened(value: Any) -> Any:
    inner = parse(value) if isinstance(value, str) and value[:1] in {"{", "["} else None
    return value if inner is None else inner


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in pairs:
            yield from _leaves(f"{name}.{key}" if name else str(key), inner)
    else:
        yield name, value


def flat(text: str) -> str:
    """Bring a text onto one line, as quotes are compared: how a row was spaced is nothing to hold against them."""
    return " ".join(text.split())


def _escaped(text: str) -> str:
    """Write a row as it stands in JSON, for a quote that was copied out of that."""
    return (dump(text) or "")[1:-1]
