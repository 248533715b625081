"""Input that a person said should have been another: their answer, their note at a gate, a signal that they sent.

Gets the rows of one run and what it was given; gives the fields that somebody named together with a value, in their own words. Only two
ways of saying it are understood, an object `input` in what was answered or sent, and a sentence that names the field (`day should be
2026-11-20`); whatever needs more understanding than that is left to whoever reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from smithers_nb.redact import redact, short_line
from smithers_nb.sources.stores.json_text import parse

if TYPE_CHECKING:
    from smithers_nb.sources.snapshot import Snapshot

_SHOULD_BE: Final = r"\s+(?:should|must|has\s+to|needs\s+to|ought\s+to)\s+(?:be|have\s+been)\s+"
_VALUE: Final = r"(?:`(?P<tick>[^`\n]{1,400})`|\"(?P<double>[^\"\n]{1,400})\"|'(?P<single>[^'\n]{1,400})'|(?P<bare>[^\s,;`\"']{1,200}))"
_PLAIN_END: Final = ".!?)"
_DATA: Final = re.compile(r"[\d@/_:-]")
"""A bare word is data only with one of these in it, as in other texts; `day should be fixed` names no value."""

_ASKS: Final = re.compile(r"\?\s*$")


class Stated(NamedTuple):
    """What a person said that the input should have been.

    Attributes:
        fields: Top-level fields of the input that change, with the values that were said.
        where: Whose words they are and where they stand, with a quote.
    """

    fields: dict[str, Any]
    where: str


class _Said(NamedTuple):
    where: str
    words: str
    value: Any


def stated_input(run: Snapshot, given: Mapping[str, Any]) -> Stated | None:
    """Return what people said the input of a run should have been, as far as it differs from what the run was given.

    Args:
        run: The run.
        given: Its input.

    Returns:
        None when nobody said so, or when two values were said for one field: which of them holds is not ours to tell.
    """
    fields: dict[str, Any] = {}
    places: dict[str, None] = {}
    for said in _said(run):
        for name, value in _corrections(said, given):
            if name in fields and fields[name] != value:
                return None
            fields[name] = value
            places[f"{said.where}: “{short_line(redact(said.words), 200)}”"] = None
    changed = {name: value for name, value in fields.items() if value != given[name]}
    return Stated(changed, "; ".join(places)) if changed else None


def _said(run: Snapshot) -> Iterator[_Said]:
    """List what people answered, noted and sent, in their own words; a decision that an engine made by itself is nobody's."""
    for question in run.questions:
        if question.answer and question.status == "answered":
            where = f"the answer of {question.answered_by or 'a person'} to `{question.node_id}`"
            yield _Said(where, question.answer, _read(question.answer))
    for gate in run.approvals:
        if gate.note and not gate.auto_approved and gate.status in {"approved", "denied"} and not gate.for_question:
            where = f"the note of {gate.decided_by or 'a person'} at `{gate.node_id}`"
            yield _Said(where, gate.note, _read(gate.note))
    for signal in run.signals:
        if signal.payload and signal.received_by:
            yield _Said(f"the signal {signal.signal_name} of {signal.received_by}", signal.payload, _read(signal.payload))


def _read(text: str) -> Any:
    value = parse(text)
    return text if value is None else value


def _corrections(said: _Said, given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if isinstance(said.value, Mapping):
        named = said.value.get("input")
        if isinstance(named, Mapping) and named and named.keys() <= given.keys():
            yield from ((name, value) for name, value in named.items() if _is_alike(value, given[name]))
        for text in said.value.values():
            yield from _of_text(text, given)
    else:
        yield from _of_text(said.value, given)


def _of_text(text: Any, given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Read `FIELD should be VALUE` for the fields of the input; a question says nothing."""
    if not isinstance(text, str) or _ASKS.search(text):
        return
    for name, now in given.items():
        field = rf"(?<![\w.-])[`\"']?{re.escape(name)}[`\"']?"
        for match in re.finditer(f"{field}{_SHOULD_BE}{_VALUE}", text):
            value = _value(match, now)
            if value is not None:
                yield name, value


def _value(match: re.Match[str], now: Any) -> Any:
    """Take the value as what the field holds now: a number for a number; None when it is no such value."""
    bare = match["bare"]
    word = bare.rstrip(_PLAIN_END) if bare is not None else match["tick"] or match["double"] or match["single"]
    if isinstance(now, str):
        return word if bare is None or (word and _DATA.search(word)) else None
    value = parse(word)
    return value if _is_alike(value, now) else None


def _is_alike(value: Any, now: Any) -> bool:
    """Return whether a value is of the kind that the field holds now."""
    if isinstance(value, bool) or isinstance(now, bool):
        return isinstance(value, bool) and isinstance(now, bool)
    if isinstance(now, int | float):
        return isinstance(value, int | float)
    return value is not None and isinstance(value, type(now))
