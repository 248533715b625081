"""What one run looked like, reduced to what can be compared with another run.

Gets frames, picks the rows of one run, and gives plain dictionaries by logical node id; `history` compares two of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from smithers_nb.model.vocabulary import logical_id
from smithers_nb.sources.stores.json_text import as_object

if TYPE_CHECKING:
    import pandas as pd

_DEPTH = 3


class RunFrames(NamedTuple):
    """Frames of one or more runs."""

    runs: pd.DataFrame
    nodes: pd.DataFrame
    attempts: pd.DataFrame
    outputs: pd.DataFrame


class Picture(NamedTuple):
    """One run, by logical node id where it is about nodes.

    Attributes:
        run: Its row; missing values are None.
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

    run: dict[str, Any]
    config: dict[str, Any]
    input: dict[str, Any]
    nodes: frozenset[str]
    nodes_state: dict[str, str]
    started: dict[str, int]
    agents: dict[str, tuple[str | None, str | None]]
    durations: dict[str, float]
    iterations: dict[str, int]
    shapes: dict[str, dict[str, str]]


def picture(frames: RunFrames, run_id: str) -> Picture:
    """Pick one run out of frames that may hold many."""
    run = records(frames.runs, run_id)[0]
    tries = sorted(_by_node(records(frames.attempts, run_id)), key=lambda a: (a["iteration"], a["attempt"]))
    states = {logical_id(n["node_id"]): n["state"] for n in records(frames.nodes, run_id)}
    produced = sorted(records(frames.outputs, run_id), key=lambda o: o["iteration"])
    durations: dict[str, float] = {}
    iterations: dict[str, set[tuple[str, int]]] = {}
    for a in tries:
        durations[a["node"]] = max(durations.get(a["node"], 0.0), a["duration_s"] or 0.0)
        iterations.setdefault(a["node"], set()).add((a["node_id"], a["iteration"]))
    return Picture(
        run=run,
        config=as_object(run.get("config")),
        input=input_of(next((as_object(o["row"]) for o in produced if o["node_id"] == "input"), {})),
        nodes=frozenset(states) | frozenset(durations),
        nodes_state=states,
        started={a["node"]: int(a["started_at"].timestamp() * 1000) for a in reversed(tries) if a["started_at"]},
        agents={a["node"]: (a["engine"] or a["agent"], a["model"]) for a in tries if a["engine"] or a["agent"] or a["model"]},
        durations=durations,
        iterations={node: len(seen) for node, seen in iterations.items()},
        shapes={logical_id(o["node_id"]): shape(as_object(o["row"])) for o in produced if o["node_id"] != "input"},
    )


def records(frame: pd.DataFrame, run_id: str | None = None) -> list[dict[str, Any]]:
    """Give the rows of a frame, or those of one run, as dictionaries in which a missing value is None."""
    kept = frame if run_id is None else frame[frame["run_id"] == run_id]
    names = [str(name) for name in kept.columns]
    columns = [_values(kept[name]) for name in kept.columns]  # column by column, which takes half of what `to_dict` does
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _values(column: pd.Series[Any]) -> list[Any]:
    return [None if missing else value for value, missing in zip(column.astype(object).tolist(), column.isna().tolist(), strict=True)]


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
    """Say of every field what kind of value it holds: `text`, `number`, `flag`, `null`, `list`, `object`, `empty text`, `empty list`."""
    found: dict[str, str] = {}
    for key, inner in value.items():
        found[f"{prefix}{key}"] = _kind(inner)
        if isinstance(inner, Mapping) and prefix.count(".") < _DEPTH:
            found |= shape(inner, f"{prefix}{key}.")
        elif isinstance(inner, list) and inner and isinstance(inner[0], Mapping) and prefix.count(".") < _DEPTH:
            found |= shape(inner[0], f"{prefix}{key}[].")
    return found


def _by_node(tries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**a, "node": logical_id(a["node_id"])} for a in tries]


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
