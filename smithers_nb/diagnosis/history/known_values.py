"""Every value that a failing task could have got from outside itself, with where it came from.

Gets the rows of a run and of its parents: human answers, decisions, inputs, upstream outputs, earlier answers of agents. Gives flat
values, nearest to the person who gave them first, so that the first hit of a search is the origin and not a copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from smithers_nb.diagnosis.history.run_profile import input_of
from smithers_nb.sources.snapshot import Snapshot
from smithers_nb.sources.stores.json_text import as_object, parse

if TYPE_CHECKING:
    from smithers_nb.model.verdict import Failure

_DEPTH: Final = 4
_MAX_ITEMS: Final = 200
_MAX_PARENTS: Final = 4


class Known(NamedTuple):
    """One value and its origin.

    Attributes:
        ref: Reference of its row.
        place: The same in words: "the input `email`".
        kind: `answer`, `input` or `upstream`.
        node: Node that produced it, empty for an input.
        field: Its field.
        value: The value.
    """

    ref: str
    place: str
    kind: str
    node: str
    field: str
    value: Any


def runs_of(snapshot: Snapshot, failure: Failure) -> list[Snapshot]:
    """List the run that a failure happened in and the runs that led to it, the outermost first."""
    above = [run_id for run_id in failure.parents if run_id != snapshot.run.run_id][:_MAX_PARENTS]
    ids = dict.fromkeys([snapshot.run.run_id, *above, failure.run_id])
    return [snapshot if run_id == snapshot.run.run_id else Snapshot(snapshot.source, run_id) for run_id in ids]


def known_values(runs: list[Snapshot], failing: str | None) -> list[Known]:
    """Collect what the failing task could have got, human answers first, then inputs from the outside in, then upstream outputs."""
    found = [known for run in runs for known in _answers(run)]
    found += [known for at, run in enumerate(runs) for known in _inputs(run, outermost=at == 0)]
    return found + [known for run in reversed(runs) for known in _outputs(run, failing if run is runs[-1] else None)]


def _answers(run: Snapshot) -> Iterator[Known]:
    for question in run.questions:
        if question.answer:
            who = question.answered_by or "a person"
            ref = f"question:{question.request_id}"
            for field, value in _leaves(parse(question.answer)):
                yield Known(ref, f"the answer of {who} to `{question.node_id}`", "answer", question.node_id, field, value)
    for gate in run.approvals:
        if gate.note and gate.status == "approved":
            ref = f"approval:{gate.node_id}/{gate.iteration}"
            yield Known(ref, f"the note of {gate.decided_by or 'a person'} at `{gate.node_id}`", "answer", gate.node_id, "note", gate.note)


def _inputs(run: Snapshot, *, outermost: bool) -> Iterator[Known]:
    row = next((as_object(output.row) for output in run.outputs if output.node_id == "input"), {})
    of_child = "" if outermost else f" of child run {run.run_id}"
    for field, value in _leaves(input_of(row)):
        yield Known(f"run:{run.run_id}", f"the input `{field}`{of_child}", "input", "", field, value)


def _outputs(run: Snapshot, failing: str | None) -> Iterator[Known]:
    for output in run.outputs:
        if output.node_id in {"input", failing}:
            continue
        for field, value in _leaves(as_object(output.row)):
            ref = f"node:{output.node_id}/{output.iteration}"
            yield Known(ref, f"`{field}` of `{output.node_id}`", "upstream", output.node_id, field, value)


def _leaves(value: Any, prefix: str = "", depth: int = _DEPTH) -> Iterator[tuple[str, Any]]:
    """Yield the scalars within a value with the dotted name of each; items of a list share its name."""
    if isinstance(value, Mapping) and depth:
        for key, inner in value.items():
            yield from _leaves(inner, f"{prefix}.{key}" if prefix else str(key), depth - 1)
    elif isinstance(value, list) and depth:
        for inner in value[:_MAX_ITEMS]:
            yield from _leaves(inner, prefix, depth - 1)
    elif not isinstance(value, Mapping | list):
        yield prefix, value
