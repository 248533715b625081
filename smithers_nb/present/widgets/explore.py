"""What a person looks through in JupyterLab: the runs of a project with filters, and the tasks of a run as boxes that open.

Both are shown again and again with what there is now, and keep what the person has chosen. Their static twins are `runs_table` and
`task_graph_card`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from smithers_nb.model.counts import plural
from smithers_nb.present.html.states import look
from smithers_nb.present.html.tables import runs_table
from smithers_nb.present.html.task_graph import most_telling, rows_around, rows_of_graph
from smithers_nb.present.html.text import one_line
from smithers_nb.present.widgets.widgets import as_line, as_page

if TYPE_CHECKING:
    from smithers_nb.model.rows import RunRow
    from smithers_nb.model.verdict import TaskStanding
    from smithers_nb.present.html.markup import Card

_ANY: Final = ""
_ROWS: Final = 100
_BUTTONS: Final = 24
_NAME: Final = 40
_STYLES: Final = {"good": "success", "bad": "danger", "warn": "warning", "busy": "info"}


class FleetTable:
    """A table of runs with two filters: words, and a state.

    Attributes:
        box: The ipywidgets widget.
    """

    def __init__(self) -> None:
        import ipywidgets as widgets

        self._find = widgets.Text(description="Find", placeholder="words of a run", layout={"width": "24em"})
        self._state = widgets.Dropdown(description="State", options=[("any", _ANY)], layout={"width": "20em"})
        self._table = widgets.HTML()
        self._runs: Sequence[RunRow] = ()
        self.box = widgets.VBox([widgets.HBox([self._find, self._state], layout={"flex_flow": "row wrap"}), self._table])
        for field in (self._find, self._state):
            field.observe(lambda _: self._draw(), "value")

    def show(self, runs: Sequence[RunRow]) -> None:
        """Show these runs, as far as they pass the filters.

        Args:
            runs: Newest first, with the state derived.
        """
        self._runs = runs
        chosen, counts = self._state.value, Counter(run.state for run in runs)
        if chosen and chosen not in counts:
            counts[chosen] = 0  # nobody chose anything else
        options = [(f"any ({len(runs)})", _ANY), *((f"{look(state).word} ({count})", state) for state, count in counts.most_common())]
        if options != list(self._state.options):
            self._state.options = options  # which chooses the first of them
            self._state.value = chosen
        self._draw()

    def _draw(self) -> None:
        words, state = self._find.value.casefold().split(), self._state.value
        found = [run for run in self._runs if state in (_ANY, run.state) and _has(run, words)]
        shown = found[:_ROWS]
        total = plural(len(self._runs), "run")
        caption = f"{total}, newest first" if len(found) == len(self._runs) else f"{len(found)} of {total}"
        if len(shown) < len(found):
            caption = f"{caption}; the first {len(shown)} are shown"
        card = runs_table(caption, shown, {run.run_id: run.error_message or "" for run in shown})
        self._table.value = as_page(card)


class Tasks(NamedTuple):
    """The tasks of a run at one moment.

    Attributes:
        standings: Which task waits for which, and how each stands.
        about: Shows one task.
    """

    standings: Sequence[TaskStanding]
    about: Callable[[str], Card]


class NodeGraph:
    """The tasks of a run as buttons, those that wait for others further down; a click shows what is known about one.

    Attributes:
        box: The ipywidgets widget.
    """

    def __init__(self) -> None:
        import ipywidgets as widgets

        self._rows, self._about = widgets.VBox([]), widgets.HTML()
        self._ends = widgets.HTML(), widgets.HTML()
        self._boxes: dict[str, Any] = {}
        self._lines: list[Any] = []
        self._layout: list[list[str]] = []
        self._tasks: Tasks | None = None
        self._open = ""
        self.box = widgets.VBox([self._rows, self._about])

    def show(self, tasks: Tasks) -> None:
        """Show these tasks; the one that is open stays open."""
        self._tasks = tasks
        rows, above, below = rows_around(rows_of_graph(tasks.standings))
        shown = [most_telling(row, _BUTTONS) for _, row in rows]
        layout = [[task.node_id for task in row] for row, _ in shown]
        if layout != self._layout:
            self._lay_out(layout)
        for line, (row, rest) in zip(self._lines, shown, strict=True):
            line.children[-1].value = as_line(rest)
            for task in row:
                _paint(self._boxes[task.node_id], task)
        self._ends[0].value, self._ends[1].value = (as_line(f"… {plural(left, 'row')} left out" if left else "") for left in (above, below))
        self._draw()

    def _lay_out(self, layout: list[list[str]]) -> None:
        import ipywidgets as widgets

        self._layout = layout
        self._boxes = {name: self._button(name) for row in layout for name in row}
        rows = [[*(self._boxes[name] for name in row), widgets.HTML()] for row in layout]
        self._lines = [widgets.HBox(row, layout={"flex_flow": "row wrap"}) for row in rows]
        self._rows.children = [self._ends[0], *self._lines, self._ends[1]]

    def _button(self, name: str) -> Any:
        import ipywidgets as widgets

        button = widgets.Button(layout={"width": "auto"})
        button.on_click(lambda _: self._chosen(name))
        return button

    def _chosen(self, name: str) -> None:
        self._open = "" if self._open == name else name
        self._draw()

    def _draw(self) -> None:
        known = self._tasks is not None and self._open in self._boxes
        self._about.value = as_page(self._tasks.about(self._open)) if known and self._tasks else ""


def _paint(button: Any, task: TaskStanding) -> None:
    """Say on a button how its task stands."""
    seen = look(task.state)
    after = f", after {', '.join(task.after)}" if task.after else ""
    button.description = one_line(f"{seen.icon} {task.node_id}: {seen.word}", _NAME + len(seen.word))
    button.tooltip = one_line(f"{task.node_id}: {seen.word}{after}", 400)
    button.button_style = _STYLES.get(seen.tone, "")


def _has(run: RunRow, words: Sequence[str]) -> bool:
    text = f"{run.run_id} {run.workflow} {run.state} {look(run.state).word} {run.error_message or ''}".casefold()
    return all(word in text for word in words)
