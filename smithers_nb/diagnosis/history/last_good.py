"""The last good run of a workflow, and what has changed since.

Gets rows and gives findings: which run was the last that finished, and every difference that could explain why a later one did
not. Values are redacted and cut, so they can be shown as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smithers_nb.diagnosis.failure.order import began, by_time
from smithers_nb.diagnosis.history.run_profile import RunProfile, flat, run_profile
from smithers_nb.errors import RunNotFound
from smithers_nb.model.rows import AttemptRow, NodeRow, OutputRow, RunRow
from smithers_nb.model.verdict import Change, LastGoodRun
from smithers_nb.redact import redact_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from smithers_nb.sources.base import Source

UNNAMED = "workflow"
"""The name that the engine gives a workflow before its first render."""

_LONG = 80
_SLOWER = 2.0
_SLOWER_BY_S = 1.0
_NOT_CONFIGURATION = ("__smithersDurability", "rootDir", "continuation", "executed", "session")


def last_good(runs: Sequence[RunRow], failed: str) -> LastGoodRun | None:
    """Find the newest finished run of the same workflow that started before a failed one.

    Args:
        runs: Runs of the whole store.
        failed: Run id of the failed run; must be among them.

    Returns:
        The run, or None when the workflow never finished before.

    Raises:
        RunNotFound: `failed` is not in `runs`.
    """
    bad = _row_of(runs, failed)
    earlier = by_time(run for run in runs if run.status == "finished" and _is_same_workflow(run, bad) and _is_before(run, bad))
    return LastGoodRun(run_id=earlier[-1].run_id, finished_at=earlier[-1].finished_at) if earlier else None


def changed_since(before: RunProfile, after: RunProfile) -> tuple[Change, ...]:
    """List everything that differs between a good run and a later one that failed.

    Returns:
        Workflow file, input, configuration, agents and models, node set, shape of what nodes produced, and durations, in that order.
    """
    return tuple(differences(before, after))


def differences(before: RunProfile, after: RunProfile) -> Iterator[Change]:
    """Yield everything that differs between two runs, in the order in which it is worth reporting.

    Two sessions of an agent CLI have nothing in common but that CLI: their turns and files are other ones each time.
    """
    if "session" in before.config and "session" in after.config:
        return _sessions(before, after)
    return (change for compare in _COMPARISONS for change in compare(before, after))


def changes_between(source: Source, good: str, failed: str) -> tuple[Change, ...]:
    """Read two runs of a source and compare them, see `changed_since`.

    Raises:
        RunNotFound: One of them is not there.
        SourceVanished: The store is gone.
    """
    return changed_since(*(_profile(source, run_id) for run_id in (good, failed)))


def _profile(source: Source, run_id: str) -> RunProfile:
    run = _row_of(source.rows(RunRow, run_id), run_id)
    return run_profile(run, source.rows(NodeRow, run_id), source.rows(AttemptRow, run_id), source.rows(OutputRow, run_id))


def _is_same_workflow(run: RunRow, bad: RunRow) -> bool:
    if bad.workflow == UNNAMED and bad.workflow_path is not None and run.workflow_path == bad.workflow_path:
        return True
    return bad.workflow is not None and run.workflow == bad.workflow


def _is_before(run: RunRow, bad: RunRow) -> bool:
    ours, theirs = began(run), began(bad)
    return ours is not None and theirs is not None and ours < theirs


def _row_of(runs: Sequence[RunRow], run_id: str) -> RunRow:
    found = next((run for run in runs if run.run_id == run_id), None)
    if found is None:
        raise RunNotFound(f"no run {run_id!r} among these runs", hint="give the runs of the store that the run is in")
    return found


def _workflow(before: RunProfile, after: RunProfile) -> Iterator[Change]:
    for column, (what, shown) in _WHERE_FROM.items():
        old, new = getattr(before.run, column), getattr(after.run, column)
        if old and new and old != new:
            yield _change(what, old[:shown], new[:shown])


_WHERE_FROM = {
    "workflow_hash": ("workflow hash", 12),
    "workflow_path": ("workflow path", None),
    "root": ("project folder", None),
    "revision": ("repository revision", 12),
}
"""Column of a run to what it is called, and how much of it tells two values apart."""


def _sessions(before: RunProfile, after: RunProfile) -> Iterator[Change]:
    old, new = (one.config["session"] for one in (before, after))
    for key, what in _OF_A_SESSION.items():
        if old.get(key) and new.get(key) and old[key] != new[key]:
            yield _change(what, old[key], new[key])


_OF_A_SESSION = {"cli": "agent CLI", "version": "version of the agent CLI", "model": "model", "cwd": "project folder"}
"""What a session says of itself to what it is called."""


def _input(before: RunProfile, after: RunProfile) -> Iterator[Change]:
    return _fields("input", before.input, after.input)


def _configuration(before: RunProfile, after: RunProfile) -> Iterator[Change]:
    old, new = (flat({k: v for k, v in one.config.items() if k not in _NOT_CONFIGURATION}) for one in (before, after))
    return _fields("configuration", old, new)


def _agents(before: RunProfile, after: RunProfile) -> Iterator[Change]:
    for node in sorted(before.agents.keys() & after.agents.keys()):
        for what, old, new in zip(("agent", "model"), before.agents[node], after.agents[node], strict=True):
            if old and new and old != new:
                yield _change(f"{what} of {node}", old, new)


def _node_set(before: RunProfile, after: RunProfile) -> Iterator[Change]:
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


def _shapes(before: RunProfile, after: RunProfile) -> Iterator[Change]:
    for node in sorted(before.shapes.keys() & after.shapes.keys()):
        old, new = before.shapes[node], after.shapes[node]
        differing = {field for field in old.keys() | new.keys() if old.get(field) != new.get(field)}
        # what lies within a field that is no longer a list or an object is gone with it, which says nothing more
        for field in sorted(f for f in differing if f.rpartition(".")[0].removesuffix("[]") not in differing):
            yield _change(f"output of {node}: {field}", old.get(field), new.get(field))


def _durations(before: RunProfile, after: RunProfile) -> Iterator[Change]:
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
