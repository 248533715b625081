"""The task graph of a run: its last render frame, rebuilt from the latest keyframe and the changes since.

The engine stores the rendered tree as occasional keyframes with changes in between (`set`, `insert`, `remove` at a path). The order of
tasks follows from the elements around them, as the engine's scheduler walks them: children of a sequence wait for one another, children
of a parallel, a loop or a plain group do not, and nothing waits for an asynchronous wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.model.rows import TaskRow
from smithers_nb.sources.smithers.query import Wanted, known_columns
from smithers_nb.sources.smithers.task_order import Element, order_of
from smithers_nb.sources.stores.json_text import dump, parse, text_or_none, whole

if TYPE_CHECKING:
    from smithers_nb.sources.smithers.source import SmithersSource

_FRAMES: Final = "_smithers_frames"
_KIND_BY_TAG: Final = {
    "smithers:subflow": "subflow",
    "smithers:sandbox": "sandbox",
    "smithers:wait-for-event": "wait",
    "smithers:timer": "timer",
}


class BadChange(ValueError):
    """A change does not fit the tree that it applies to."""


def tasks(source: SmithersSource, wanted: Wanted) -> list[TaskRow]:
    """Return the tasks of one run, or of all runs, as last rendered."""
    if not {"run_id", "frame_no", "xml_json"} <= set(source.schema.get(_FRAMES, ())):
        return []
    rows: list[TaskRow] = []
    for run_id, frames in groupby(_last_frames(source, wanted.run_id), key=lambda cells: str(cells[0])):
        tree, index, bad = None, None, ""
        for _, number, encoding, content, task_index in frames:
            index = parsed if isinstance(parsed := parse(task_index), list) else index
            try:
                tree = render(tree, content, encoding)
            except BadChange as error:
                bad = bad or f"frame {number}: {error}"
        if bad:
            source.problems.add(f"{_FRAMES} {run_id}", bad)
        rows += _rows(run_id, tree, index or [])
    return rows


def render(tree: Any, content: Any, encoding: Any) -> Any:
    """Return the tree of a frame, given the tree of the frame before.

    Raises:
        BadChange: The frame is not valid JSON, or one of its changes names a path that does not exist; earlier changes stay applied.
    """
    value = parse(content)
    if encoding != "delta":
        if not isinstance(value, dict):
            raise BadChange("the frame is not a JSON tree")
        return value
    if not isinstance(value, dict) or value.get("version") != 1 or not isinstance(value.get("ops"), list):
        raise BadChange("the frame is not a list of changes of version 1")
    for change in value["ops"]:
        tree = _changed(tree, change)
    return tree


def _last_frames(source: SmithersSource, run_id: str | None) -> Iterator[tuple[Any, ...]]:
    """Yield, for each run, the rows of the newest complete frame and the changes after it."""
    names = ("run_id", "frame_no", "encoding", "xml_json", "task_index_json")
    has = source.schema[_FRAMES]
    columns = ", ".join(known_columns(f"f.[{name}]", has) if name in has else "NULL" for name in names)
    complete = f"SELECT max(frame_no) FROM {_FRAMES} WHERE run_id = f.run_id"
    complete += " AND encoding <> 'delta'" if "encoding" in has else ""
    where, params = ("", ()) if run_id is None else ("f.run_id = ? AND ", (run_id,))
    sql = f"SELECT {columns} FROM {_FRAMES} AS f WHERE {where}f.frame_no >= ({complete}) ORDER BY f.run_id, f.frame_no"
    return iter(source.fetch(_FRAMES, sql, params))


def _changed(tree: Any, change: Any) -> Any:
    try:
        kind, path, value = change["op"], change["path"], change.get("value")
        if not path:
            return None if kind == "remove" else value
        parent = tree
        for step in path[:-1]:
            parent = parent[step]
        _CHANGES[kind](parent, path[-1], value)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise BadChange(f"a change does not fit the frame before it: {error!r}") from error
    return tree


def _set(parent: Any, key: Any, value: Any) -> None:
    if isinstance(parent, list) and key == len(parent):
        parent.append(value)
    else:
        parent[key] = value


def _insert(parent: list[Any], key: int, value: Any) -> None:
    parent.insert(key, value)


def _remove(parent: Any, key: Any, _: Any) -> None:
    del parent[key]


_CHANGES: Final = {"set": _set, "insert": _insert, "remove": _remove}


def _rows(run_id: str, tree: Any, index: Iterable[Any]) -> list[TaskRow]:
    """Join the elements of the tree with the index of tasks, which has loop scopes, iterations and allowed attempts."""
    listed = [entry for entry in index if isinstance(entry, dict) and isinstance(entry.get("nodeId"), str)]
    elements = order_of(tree, [entry["nodeId"] for entry in listed])
    known = {entry["nodeId"] for entry in listed}
    unlisted = [{"nodeId": node_id} for node_id in elements if node_id not in known]
    return [_row(run_id, index, entry, elements.get(entry["nodeId"])) for index, entry in enumerate(listed + unlisted)]


def _row(run_id: str, index: int, entry: Mapping[str, Any], element: Element | None) -> TaskRow:
    return TaskRow(
        run_id=run_id,
        node_id=entry["nodeId"],
        iteration=whole(entry.get("iteration")) or 0,
        ordinal=index if (ordinal := whole(entry.get("ordinal"))) is None else ordinal,
        kind=_kind(entry, element),
        max_attempts=whole(entry.get("maxAttempts")),
        depends_on=None if element is None else dump(element.depends_on),
        within=None if element is None else dump(element.within),
        props=None if element is None else dump(element.props),
    )


def _kind(entry: Mapping[str, Any], element: Element | None) -> str | None:
    """Return the kind of a task; the index calls gates `compute` or `static`, so only the element reveals them."""
    listed = text_or_none(entry.get("kind"))
    if element is None:
        return listed
    if element.props.get("needsApproval") in {"true", True} and listed != "human":
        return "approval"
    return listed or _KIND_BY_TAG.get(element.tag)
