"""Which task waits for which, derived from a rendered tree the way the engine's scheduler walks it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from smithers_nb.model.vocabulary import logical_id
from smithers_nb.sources.stores.json_text import parse

_PREFIX: Final = "smithers:"
_TASKS: Final = frozenset({"smithers:task", "smithers:sandbox", "smithers:wait-for-event", "smithers:timer", "smithers:subflow"})
_IN_ORDER: Final = frozenset(
    {
        "smithers:workflow",
        "smithers:sequence",
        "smithers:subflow",
        "smithers:saga-actions",
        "smithers:tcf-try",
        "smithers:tcf-catch",
        "smithers:tcf-finally",
    }
)
_MAX_DEPTH: Final = 150
_EXPLICIT: Final = ("dependsOn", "needs", "deps", "fork", "forkSource")


class Element(NamedTuple):
    """A task in the tree: its tag, what it waits for, the labels of the elements around it, and its properties."""

    tag: str
    depends_on: list[str]
    within: list[str]
    props: dict[str, Any]


def order_of(tree: Any, node_ids: Sequence[str]) -> dict[str, Element]:
    """Return the tasks of a tree with their direct predecessors.

    Args:
        tree: The rendered tree as parsed JSON; what is not an element, or nested absurdly deep, is skipped.
        node_ids: Ids of the tasks in the order of rendering, with loop scopes, which the tree lacks.

    Returns:
        Each task's element by node id, in the order of the tree.
    """
    walk = _Walk(node_ids)
    walk.visit(tree, [], [])
    return walk.elements


class _Walk:
    """One pass over a tree. Each visit takes what an element waits for and returns what the next in order waits for."""

    def __init__(self, node_ids: Sequence[str]) -> None:
        self.elements: dict[str, Element] = {}
        self._scoped: dict[str, list[str]] = {}
        for node_id in node_ids:
            self._scoped.setdefault(logical_id(node_id), []).append(node_id)

    def visit(self, node: Any, before: list[str], within: list[str]) -> list[str]:
        if not isinstance(node, dict) or not isinstance(node.get("tag"), str) or len(within) > _MAX_DEPTH:
            return before
        tag, props = node["tag"], _dict(node.get("props"))
        if tag in _TASKS and not (tag == "smithers:subflow" and props.get("mode") == "inline"):
            return self._task(tag, props, before, within)
        inner = [*within, _label(tag, props)]
        arrange = _SPECIAL.get(tag, _Walk.in_order if tag in _IN_ORDER else _Walk.at_once)
        return arrange(self, _elements(node), before, inner)

    def _task(self, tag: str, props: dict[str, Any], before: list[str], within: list[str]) -> list[str]:
        if not isinstance(props.get("id"), str):
            return before
        waiting = self._scoped.get(props["id"])
        node_id = waiting.pop(0) if waiting else props["id"]
        explicit = [self._resolve(name) for key in _EXPLICIT for name in _names(props.get(key))]
        self.elements[node_id] = Element(tag, _unique([*before, *explicit]), within, props)
        return before if props.get("waitAsync") in {"true", True} else [node_id]

    def _resolve(self, name: str) -> str:
        """Return the scoped id of the latest task of this name, such as one in the same loop; else the plain name."""
        return next((node_id for node_id in reversed(self.elements) if logical_id(node_id) == name), name)

    def in_order(self, children: list[dict[str, Any]], before: list[str], within: list[str]) -> list[str]:
        for child in children:
            before = self.visit(child, before, within)
        return before

    def at_once(self, children: list[dict[str, Any]], before: list[str], within: list[str]) -> list[str]:
        ends = [self.visit(child, before, within) for child in children]
        inside = _unique(end for some in ends for end in some if end not in before)
        return inside or before

    def saga(self, children: list[dict[str, Any]], before: list[str], within: list[str]) -> list[str]:
        """Visit actions in order; each compensation waits for its action."""
        undo = [child for child in children if child["tag"] == "smithers:saga-compensations"]
        actions = [
            action
            for child in children
            if child not in undo
            for action in (_elements(child) if child["tag"] == "smithers:saga-actions" else [child])
        ]
        ends = []
        for action in actions:
            before = self.visit(action, before, within)
            ends.append(before)
        for index, child in enumerate(inner for region in undo for inner in _elements(region)):
            self.visit(child, ends[index] if index < len(ends) else before, within)
        return before

    def attempt(self, children: list[dict[str, Any]], before: list[str], within: list[str]) -> list[str]:
        """Visit a try; its catch waits only for the failure itself, its finally for the try."""
        last = {"smithers:tcf-catch", "smithers:tcf-finally"}
        after = self.in_order([child for child in children if child["tag"] not in last], before, within)
        self.in_order([child for child in children if child["tag"] == "smithers:tcf-catch"], before, within)
        return self.in_order([child for child in children if child["tag"] == "smithers:tcf-finally"], after, within)


_SPECIAL: Final[dict[str, Callable[[_Walk, list[dict[str, Any]], list[str], list[str]], list[str]]]] = {
    "smithers:saga": _Walk.saga,
    "smithers:try-catch-finally": _Walk.attempt,
}


def _elements(node: dict[str, Any]) -> list[dict[str, Any]]:
    children = node.get("children")
    listed = children if isinstance(children, list) else []
    return [child for child in listed if isinstance(child, dict) and isinstance(child.get("tag"), str)]


def _label(tag: str, props: dict[str, Any]) -> str:
    name = tag.removeprefix(_PREFIX)
    named = props.get("id") or props.get("name")
    return f"{name}:{named}" if isinstance(named, str) else name


def _names(value: Any) -> list[str]:
    """Return the ids in a list, a mapping of names to ids, JSON text of either, or comma-separated text."""
    if isinstance(value, str):
        parsed = parse(value) if value[:1] in "[{" else None
        return _names(parsed) if parsed is not None else [name.strip() for name in value.split(",") if name.strip()]
    if isinstance(value, dict):
        value = list(value.values())
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
