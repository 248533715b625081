"""Which task waits for which, as rows of boxes from top to bottom: it wraps on a narrow page, prints, and is read out in order."""

from __future__ import annotations

from collections import Counter
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Final

from smithers_nb.model.counts import plural
from smithers_nb.present.html.markup import Card, Html, h, join
from smithers_nb.present.html.states import look
from smithers_nb.present.html.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from smithers_nb.model.verdict import TaskStanding

_MAX_BOXES: Final = 8
_MAX_ROWS: Final = 24
_MAX_NAMES: Final = 3
_MAX_INDENT: Final = 12
_NAME: Final = 60
_MATTERS: Final = ("failed", "collateral", "held-up")


def task_graph_card(tasks: Sequence[TaskStanding]) -> Card:
    """Draw the graph of a run's tasks.

    A row has the tasks that wait for one further up; of a wide row the tasks that went wrong are drawn and the others counted, of a deep
    graph the rows around the failure.
    """
    rows = rows_of_graph(tasks)
    counts = Counter(look(task.state).word for task in tasks)
    summary = f"{plural(len(tasks), 'task')}: " + ", ".join(f"{count} {word}" for word, count in counts.items())
    kept, above, below = rows_around(rows)
    pieces = [_left_out(above), *(h("li", join(_boxes(row, single=_is_single(rows, place)))) for place, row in kept), _left_out(below)]
    caption = f"Which task waits for which, from top to bottom. {summary}."
    html = h("figure", h("figcaption", caption), h("ol", join(piece for piece in pieces if piece)), class_="snb snb-graph")
    lines = [
        f"{'  ' * min(place, 12)}{look(task.state).icon} {task.node_id} {look(task.state).word}" for place, row in kept for task in row
    ]
    return Card(html, "\n".join([caption, *lines]))


def _line(task: TaskStanding) -> str:
    seen = look(task.state)
    return f"{seen.icon} {task.node_id} {seen.word}"


def rows_of_graph(tasks: Sequence[TaskStanding]) -> list[list[TaskStanding]]:
    """Put each task one row below the last one that it waits for; in a circle, which no engine runs, each where it stands."""
    by_name = {task.node_id: task for task in tasks}
    graph = {task.node_id: [name for name in task.after if name in by_name] for task in tasks}
    try:
        order: Iterable[str] = TopologicalSorter(graph).static_order()
        levels = _levels(order, graph)
    except CycleError:
        levels = {task.node_id: place for place, task in enumerate(tasks)}
    rows: dict[int, list[TaskStanding]] = {}
    for task in tasks:
        rows.setdefault(levels[task.node_id], []).append(task)
    return [rows[level] for level in sorted(rows)]


def _levels(order: Iterable[str], graph: Mapping[str, Sequence[str]]) -> dict[str, int]:
    levels: dict[str, int] = {}
    for name in order:
        levels[name] = 1 + max((levels[before] for before in graph[name]), default=-1)
    return levels


def rows_around(rows: list[list[TaskStanding]]) -> tuple[list[tuple[int, list[TaskStanding]]], int, int]:
    """Return the rows to draw with their places, and how many are left out above and below them."""
    middle = next((place for place, row in enumerate(rows) if any(task.decides for task in row)), 0)
    first = max(0, min(middle - _MAX_ROWS // 2, len(rows) - _MAX_ROWS))
    kept = list(enumerate(rows))[first : first + _MAX_ROWS]
    return kept, first, len(rows) - first - len(kept)


def _is_single(rows: list[list[TaskStanding]], place: int) -> bool:
    """Return whether the row above says by itself what the tasks of a row wait for."""
    return place == 0 or len(rows[place - 1]) == 1


def _boxes(row: list[TaskStanding], *, single: bool) -> list[Html]:
    shown, rest = most_telling(row, _MAX_BOXES)
    boxes = [_box(task, single=single) for task in shown]
    return [*boxes, h("span", rest, class_="snb-task snb-quiet")] if rest else boxes


def most_telling(row: Sequence[TaskStanding], limit: int) -> tuple[list[TaskStanding], str]:
    """Return the tasks of a row that are drawn, those that went wrong first, and the count of the others in words."""
    row = sorted(row, key=lambda task: (not task.decides, task.state not in _MATTERS))
    shown = row if len(row) <= limit else row[: limit - 1]
    rest = Counter(look(task.state).word for task in row[len(shown) :])
    return shown, ", ".join(f"{count} more {word}" for word, count in rest.items())


def _box(task: TaskStanding, *, single: bool) -> Html:
    seen = look(task.state)
    notes = []
    if task.producer:
        notes.append(f"reads {one_line(task.producer, _NAME)}, where the bad value comes from")
    elif task.after and not single:
        more = f" and {len(task.after) - _MAX_NAMES} more" if len(task.after) > _MAX_NAMES else ""
        notes.append(f"after {', '.join(one_line(name, _NAME) for name in task.after[:_MAX_NAMES])}{more}")
    return h(
        "span",
        h("span", seen.icon, class_="snb-icon", aria_hidden="true"),
        h("strong", one_line(task.node_id, _NAME)),
        h("span", seen.word, class_="snb-word"),
        *(h("small", note) for note in notes),
        class_=f"snb-task snb-{seen.tone}{' snb-here' if task.decides else ''}",
    )


def _left_out(rows: int) -> Html | None:
    return h("li", f"… {plural(rows, 'row')} left out", class_="snb-muted") if rows else None
