"""The last good run of a workflow, and what has changed since.

Gets frames that hold at least the two runs (`runs` may be the whole store's) and gives findings: which run was the last that
finished, and every difference that could explain why a later one did not. Values are redacted and cut, so they can be shown as
they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smithers_nb.diagnosis.history.run_profile import Picture, RunFrames, flat, picture
from smithers_nb.errors import RunNotFound
from smithers_nb.model.rows import AttemptRow, NodeRow, OutputRow, RunRow
from smithers_nb.model.verdict import Change, LastGoodRun
from smithers_nb.redact import redact_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from smithers_nb.sources.base import Source

UNNAMED = "workflow"
"""The name that the engine gives a workflow before its first render."""

_LONG = 80
_SLOWER = 2.0
_SLOWER_BY_S = 1.0
_NOT_CONFIGURATION = ("__smithersDurability", "rootDir", "continuation")


def last_good_run(runs: pd.DataFrame, failed: str) -> str | None:
    """Find the newest finished run of the same workflow that started before a failed one.

    Args:
        runs: `RUNS` frame (one row per run; times are UTC, milliseconds).
        failed: Run id of the failed run; must be a row of `runs`.

    Returns:
        The run id, or None when the workflow never finished before.

    Raises:
        RunNotFound: `failed` is not in `runs`.
    """
    earlier = _finished_before(runs, failed)
    return None if earlier.empty else str(earlier["run_id"].iloc[-1])


def last_good(runs: pd.DataFrame, failed: str) -> LastGoodRun | None:
    """Find the same run as `last_good_run`, as a finding that says when it finished.

    Raises:
        RunNotFound: `failed` is not in `runs`.
    """
    import pandas as pd

    earlier = _finished_before(runs, failed)
    if earlier.empty:
        return None
    newest = earlier.iloc[-1]
    finished = newest["finished_at"]
    return LastGoodRun(run_id=str(newest["run_id"]), finished_at=None if pd.isna(finished) else int(finished.timestamp() * 1000))


def changed_since(frames: RunFrames, good: str, failed: str) -> tuple[Change, ...]:
    """Tell everything that differs between a good run and a later one that failed.

    Args:
        frames: Runs, nodes, attempts and outputs; both runs among them.
        good: Run id of the good run.
        failed: Run id of the failed run.

    Returns:
        Workflow file, input, configuration, agents and models, node set, shape of what nodes produced, and durations, in that order.

    Raises:
        RunNotFound: One of them is not in `frames.runs`.
    """
    for run_id in (good, failed):
        _row_of(frames.runs, run_id)
    return tuple(differences(picture(frames, good), picture(frames, failed)))


def differences(before: Picture, after: Picture) -> Iterator[Change]:
    """Yield everything that differs between two runs, in the order in which it is worth telling."""
    return (change for compare in _COMPARISONS for change in compare(before, after))


def changes_between(source: Source, good: str, failed: str) -> tuple[Change, ...]:
    """Read two runs of a source and compare them, see `changed_since`.

    Raises:
        RunNotFound: One of them is not there.
        SourceVanished: The store is gone.
    """
    import pandas as pd

    grains = (RunRow, NodeRow, AttemptRow, OutputRow)
    both = (pd.concat([source.frame(row, run_id) for run_id in (good, failed)], ignore_index=True) for row in grains)
    return changed_since(RunFrames(*both), good, failed)


def _finished_before(runs: pd.DataFrame, failed: str) -> pd.DataFrame:
    """Keep finished runs of the same workflow that started earlier, oldest first."""
    row = _row_of(runs, failed)
    same = runs["workflow"] == row["workflow"]
    if row["workflow"] == UNNAMED:
        same |= runs["workflow_path"] == row["workflow_path"]
    started = runs["started_at"].fillna(runs["created_at"])
    earlier = (started < started[runs["run_id"] == failed].iloc[0]) & (runs["run_id"] != failed)
    kept: pd.DataFrame = runs.loc[(same & earlier & (runs["status"] == "finished")).fillna(value=False)]
    return kept.assign(started_at=started[kept.index]).sort_values(["started_at", "run_id"], kind="stable")


def _row_of(runs: pd.DataFrame, run_id: str) -> pd.Series[Any]:
    found = runs[runs["run_id"] == run_id]
    if found.empty:
        raise RunNotFound(f"no run {run_id!r} among these runs", hint="give the frame of the store that the run is in")
    return found.iloc[0]


def _workflow(before: Picture, after: Picture) -> Iterator[Change]:
    for column, (what, shown) in _WHERE_FROM.items():
        old, new = before.run.get(column), after.run.get(column)
        if old and new and old != new:
            yield _change(what, old[:shown], new[:shown])


_WHERE_FROM = {
    "workflow_hash": ("workflow hash", 12),
    "workflow_path": ("workflow path", None),
    "root": ("project folder", None),
    "revision": ("repository revision", 12),
}
"""Column of a run to what it is called, and how much of it tells two values apart."""


def _input(before: Picture, after: Picture) -> Iterator[Change]:
    return _fields("input", before.input, after.input)


def _configuration(before: Picture, after: Picture) -> Iterator[Change]:
    old, new = (flat({k: v for k, v in one.config.items() if k not in _NOT_CONFIGURATION}) for one in (before, after))
    return _fields("configuration", old, new)


def _agents(before: Picture, after: Picture) -> Iterator[Change]:
    for node in sorted(before.agents.keys() & after.agents.keys()):
        for what, old, new in zip(("agent", "model"), before.agents[node], after.agents[node], strict=True):
            if old and new and old != new:
                yield _change(f"{what} of {node}", old, new)


def _node_set(before: Picture, after: Picture) -> Iterator[Change]:
    """Nodes that came or went; what the failed run never got to is no change."""
    for node in sorted(after.nodes - before.nodes):
        yield _change(f"node {node} added", None, after.nodes_state.get(node))
    reached = max((before.started[node] for node in after.started if node in before.started), default=0)
    for node in sorted(before.nodes - after.nodes):
        if before.started.get(node, reached) < reached:
            yield _change(f"node {node} missing", before.nodes_state.get(node), None)
    for node in sorted(before.iterations.keys() & after.iterations.keys()):
        if after.iterations[node] > before.iterations[node]:
            yield _change(f"iterations of {node}", before.iterations[node], after.iterations[node])


def _shapes(before: Picture, after: Picture) -> Iterator[Change]:
    for node in sorted(before.shapes.keys() & after.shapes.keys()):
        old, new = before.shapes[node], after.shapes[node]
        differing = {field for field in old.keys() | new.keys() if old.get(field) != new.get(field)}
        # what lies within a field that is no longer a list or an object is gone with it, which says nothing more
        for field in sorted(f for f in differing if f.rpartition(".")[0].removesuffix("[]") not in differing):
            yield _change(f"output of {node}: {field}", old.get(field), new.get(field))


def _durations(before: Picture, after: Picture) -> Iterator[Change]:
    for node in sorted(before.durations.keys() & after.durations.keys()):
        old, new = before.durations[node], after.durations[node]
        if new >= old * _SLOWER and new - old >= _SLOWER_BY_S:
            times = f", {new / old:.1f} times as long" if old > 0 else ""
            yield _change(f"duration of {node}", f"{old:.1f} s", f"{new:.1f} s{times}")


_COMPARISONS = (_workflow, _input, _configuration, _agents, _node_set, _shapes, _durations)


def _fields(what: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[Change]:
    for field in sorted(old.keys() | new.keys()):
        if old.get(field) != new.get(field):
            yield _change(f"{what}.{field}", *(redact_value({field: values.get(field)})[field] for values in (old, new)))


def _change(what: str, before: Any, after: Any) -> Change:
    return Change(what=what, before=readable(before), after=readable(after))


def readable(value: Any) -> str | None:
    """Show a value in one short line; secrets go before it is cut, because half a secret is not recognised any more."""
    import orjson

    if value is None:
        return None
    text = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
    text = " ".join(str(redact_value(text)).split())
    return text if len(text) <= _LONG else f"{text[:_LONG]}… ({len(text):,} characters)"
