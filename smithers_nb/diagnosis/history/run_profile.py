"""What one run looked like, reduced to what can be compared with another run.

Gets the rows of one run and gives plain dictionaries by logical node id; `last_good` compares two of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from smithers_nb.model.vocabulary import logical_id
from smithers_nb.sources.stores.json_text import as_object

if TYPE_CHECKING:
    from smithers_nb.model.rows import AttemptRow, NodeRow, OutputRow, RunRow

_DEPTH = 3


class RunProfile(NamedTuple):
    """One run, by logical node id where it is about nodes.

    Attributes:
        run: Its row.
        config: Its launch configuration.
        input: Its input fields, nested ones joined by dots; a field without a value is left out.
        nodes: Its nodes.
        nodes_state: State of each.
        started: When each was first started, epoch milliseconds.
        agents: Agent and model of each node that had one.
        durations: Longest attempt of each node, seconds.
        iterations: Loop iterations of each node that was in a loop or not.
        shapes: Of each node's last output, field to what kind of value it is.
    """

    run: RunRow
    config: dict[str, Any]
    input: dict[str, Any]
    nodes: frozenset[str]
    nodes_state: dict[str, str]
    started: dict[str, int]
    agents: dict[str, tuple[str | None, str | None]]
    durations: dict[str, float]
    iterations: dict[str, int]
    shapes: dict[str, dict[str, str]]


def run_profile(run: RunRow, nodes: Iterable[NodeRow], attempts: Iterable[AttemptRow], outputs: Iterable[OutputRow]) -> RunProfile:
    """Reduce the rows of one run."""
    tries = [(logical_id(a.node_id), a) for a in sorted(attempts, key=lambda a: (a.iteration, a.attempt))]
    states = {logical_id(n.node_id): n.state for n in nodes}
    produced = sorted(outputs, key=lambda o: o.iteration)
    durations: dict[str, float] = {}
    iterations: dict[str, set[tuple[str, int]]] = {}
    for node, a in tries:
        durations[node] = max(durations.get(node, 0.0), a.duration_s or 0.0)
        iterations.setdefault(node, set()).add((a.node_id, a.iteration))
    return RunProfile(
        run=run,
        config=as_object(run.config),
        input=input_of(next((as_object(o.row) for o in produced if o.node_id == "input"), {})),
        nodes=frozenset(states) | frozenset(durations),
        nodes_state=states,
        started={node: a.started_at for node, a in reversed(tries) if a.started_at},
        agents={node: (a.engine or a.agent, a.model) for node, a in tries if a.engine or a.agent or a.model},
        durations=durations,
        iterations={node: len(places) for node, places in iterations.items()},
        shapes={logical_id(o.node_id): shape(as_object(o.row)) for o in produced if o.node_id != "input"},
    )


def flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Join the keys of nested objects by dots; fields without a value are left out."""
    found: dict[str, Any] = {}
    for key, inner in value.items():
        if isinstance(inner, Mapping) and prefix.count(".") < _DEPTH:
            found |= flat(inner, f"{prefix}{key}.")
        elif inner is not None:
            found[f"{prefix}{key}"] = inner
    return found


def shape(value: Any, prefix: str = "") -> dict[str, str]:
    """Name the kind of value that every field holds: `text`, `number`, `flag`, `null`, `list`, `object`, `empty text`, `empty list`."""
    found: dict[str, str] = {}
    for key, inner in value.items():
        found[f"{prefix}{key}"] = _kind(inner)
        if isinstance(inner, Mapping) and prefix.count(".") < _DEPTH:
            found |= shape(inner, f"{prefix}{key}.")
        elif isinstance(inner, list) and inner and isinstance(inner[0], Mapping) and prefix.count(".") < _DEPTH:
            found |= shape(inner[0], f"{prefix}{key}[].")
    return found


def _kind(value: Any) -> str:
    if isinstance(value, list | str) and not value:
        return "empty list" if isinstance(value, list) else "empty text"
    return next((name for kind, name in _KINDS if isinstance(value, kind)), "null")


_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "flag"),  # before numbers, because a flag is one
    (int, "number"),
    (float, "number"),
    (str, "text"),
    (list, "list"),
    (Mapping, "object"),
)


def input_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Read the fields of a run's input; without an input schema the store keeps it whole in one column `payload`."""
    payload = row.get("payload")
    whole = as_object(payload) if isinstance(payload, str) else payload
    return flat({**row, "payload": None, **whole}) if isinstance(whole, dict) and whole else flat(row)
