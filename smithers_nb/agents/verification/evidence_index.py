"""The rows of a run by reference; every claim of a provider is checked against them.

Takes the snapshot of a run (child runs included) and the source of its workflow; returns the redacted text of any row, and whether a quote
occurs in it. The reference of a row in a child run is `RUN/attempt:…`, as in the verdict.
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

_MAX_DEPTH: Final = 8
_MAX_RUNS: Final = 50
_MAX_LENGTH: Final = 1_000_000
_MAX_DIGITS: Final = 15
_MIN_QUOTE: Final = 8
"""Minimum length of a quote in characters, unless the whole row is shorter."""


class Record:
    """Everything that may be quoted about one run; read-only.

    Attributes:
        snapshot: The run that was asked about.
        source_name: File name of its workflow.
        source_lines: Lines of that file, if available, redacted.
    """

    def __init__(self, snapshot: Snapshot, *, source_path: str | None = None, source: str = "", cited: Iterable[Evidence] = ()) -> None:
        """Index a run.

        Args:
            snapshot: The run.
            source_path: Path of its workflow.
            source: Text of that file.
            cited: Quotes of the deterministic investigation, which need no check.
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
        return {one.run_id: one for one, _ in zip(_family(self.snapshot, _MAX_DEPTH), range(_MAX_RUNS), strict=False)}

    @cached_property
    def nodes(self) -> frozenset[tuple[str, str, int]]:
        """Every node as run, node id and iteration."""
        return frozenset((run_id, node.node_id, node.iteration) for run_id, one in self.runs.items() for node in one.nodes)

    def text(self, ref: str) -> str | None:
        """Return the redacted text of a row, one line per field; None when the row does not exist."""
        if ref not in self._texts:
            found = self._read(ref)
            self._texts[ref] = _as_text(found) if isinstance(found, dict) else found
            if isinstance(found, dict):  # a quote may have been copied from JSON, the form in which log lines are shown
                self._json[ref] = (dump(found) or "")[:_MAX_LENGTH]
        return self._texts[ref]

    def refusal(self, ref: str, quote: str) -> str:
        """Return why a quote is rejected; empty when it is in its row."""
        wanted = flat(redact(quote))
        cited = [flat(redact(item.quote)) for item in self.cited if item.ref == ref]
        text = self.text(ref)
        if text is None and not cited:
            return "there is no such row"
        row = text or ""
        places = (self._around(ref) or flat(row), flat(_escaped(row)), flat(self._json.get(ref, "")), *cited)
        if wanted in cited:
            return ""
        if len(wanted) < min((_MIN_QUOTE, *(len(place) for place in places if place))):
            return "its quote is too short to show anything"
        return "" if any(wanted in place for place in places) else "its quote does not occur in that row"

    def mentions(self, words: str) -> bool:
        """Return whether words occur in any row read so far, in the workflow's source or in a cited quote."""
        wanted = flat(redact(words)).casefold()
        texts = (*(text for text in self._texts.values() if text), "\n".join(self.source_lines), *(item.quote for item in self.cited))
        return any(wanted in flat(text).casefold() for text in texts)

    def events(self, run_id: str, first: int, last: int) -> list[EventRow]:
        """Return the events of a run between two sequence numbers (inclusive), without heartbeats."""
        one = self.runs.get(run_id)
        return [event for event in one.events if first <= event.seq <= last] if one else []

    def own(self, run_id: str, ref: str) -> str:
        """Qualify the reference of a row with its run when that is a child run."""
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
        for run_id, one in self.runs.items():  # an id may contain slashes and colons, so compare the prefix instead of splitting
            inner, _, key = ref.removeprefix(f"{run_id}/").partition(":")
            if ref.startswith(f"{run_id}/") and inner in _FINDERS:
                return _found(one, inner, key)
        return None

    def _source_line(self, key: str) -> int | None:
        name, _, number = key.rpartition(":")
        line = int(number) if number.isdecimal() and len(number) < len(str(_MAX_LENGTH)) else 0
        return line if name == self.source_name and 0 < line <= len(self.source_lines) else None

    def _around(self, ref: str) -> str:
        """Return a line of the workflow and the nine after it, since a quote may span several lines."""
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
    """Read one event, including the kinds that a snapshot leaves out."""
    number = int(seq) if seq.isdecimal() and len(seq) <= _MAX_DIGITS else -1
    return list(snapshot.source.rows(EventRow, snapshot.run_id, only={"seq": [number]}))


_FINDERS: Final[dict[str, tuple[Callable[[Snapshot, str], list[Any]], Callable[[Any], str]]]] = {
    "event": (_event, lambda row: str(row.seq)),
    "attempt": (lambda one, _: list(one.attempts), lambda row: f"{row.node_id}/{row.iteration}/{row.attempt}"),
    "node": (lambda one, _: list(one.nodes), lambda row: f"{row.node_id}/{row.iteration}"),
    "approval": (lambda one, _: list(one.approvals), lambda row: f"{row.node_id}/{row.iteration}"),
    "question": (lambda one, _: list(one.questions), lambda row: str(row.request_id)),
}
"""How to read each kind of row, and what follows the colon in its reference."""


def _fields(row: Any) -> dict[str, Any]:
    """Return the non-empty, redacted fields of a row; JSON columns are parsed, so that quotes need no escapes."""
    cleaned: dict[str, Any] = redact_value({name: _parsed(value) for name, value in row._asdict().items() if value not in (None, "")})
    return cleaned


def _as_text(fields: dict[str, Any]) -> str:
    """Format a row as lines of `name: value`."""
    return "\n".join(f"{name}: {value}" for name, value in _leaves("", fields))[:_MAX_LENGTH]


def _parsed(value: Any) -> Any:
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
    """Collapse whitespace; quotes are compared regardless of spacing."""
    return " ".join(text.split())


def _escaped(text: str) -> str:
    """Escape a text as JSON does, for a quote that was copied from JSON."""
    return (dump(text) or "")[1:-1]
