"""A run or a project that shows itself again and again as it goes on, with what waits for a person in it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from smithers_nb.errors import SmithersNbError
from smithers_nb.model.timestamps import when
from smithers_nb.present.html.cards import stack
from smithers_nb.present.html.parts import note
from smithers_nb.present.html.task_graph import task_graph_card
from smithers_nb.present.widgets.explore import FleetTable, NodeGraph
from smithers_nb.present.widgets.widgets import Live, as_line, as_page, as_refusal

if TYPE_CHECKING:
    from smithers_nb.model.rows import RunRow
    from smithers_nb.present.html.markup import Card
    from smithers_nb.present.widgets.explore import Tasks

WATCH_S: Final = 0.3
"""Seconds between two looks at whether a store has changed."""

_ANYWAY_S: Final = 15.0
"""Seconds after which a widget is drawn again without a change, because time itself changes what it says."""


class Watched(NamedTuple):
    """What a watched run or project looks like at one moment.

    Attributes:
        card: State and timeline.
        waiting: What waits for a person: a key that tells one from another, and how its widget is made.
        at: When, epoch milliseconds.
        over: Nothing more will change.
        runs: Runs to look through, newest first; they stand in place of the card, which is their static twin.
        tasks: The tasks of the run, to be opened one by one below the card.
    """

    card: Card
    waiting: Sequence[tuple[str, Callable[[], Live]]]
    at: int
    over: bool = False
    runs: Sequence[RunRow] | None = None
    tasks: Tasks | None = None

    @property
    def twin(self) -> Card:
        """The same without widgets."""
        drawn = task_graph_card(self.tasks.standings) if self.tasks and any(task.after for task in self.tasks.standings) else None
        return stack(self.card, drawn) if drawn else self.card


def watch_widget(look: Callable[[], Watched], *, mark: Callable[[], object] | None = None, every_s: float = WATCH_S) -> Live:
    """Show a run or a project as it goes on, with the gates and questions that wait in it.

    What somebody has typed into a note stays while the rest is drawn again.

    Args:
        look: Reads what is to be shown; called in a thread, so that the kernel stays free.
        mark: Changes when something may have changed; without it, it is read each time.
        every_s: Seconds between two looks at the mark.
    """
    import ipywidgets as widgets

    page, inbox, stamp, more = widgets.HTML(), widgets.VBox([]), widgets.HTML(), _More()
    refresh = widgets.Button(description="Refresh", icon="refresh", tooltip="Look again now")
    live = Live(widgets.VBox([widgets.HBox([refresh, stamp]), page, inbox, more.box]), note("Nothing was read yet."))
    open_ones: dict[str, Live] = {}

    def show(seen: Watched) -> bool:
        live.card, page.value = seen.twin, "" if seen.runs else as_page(seen.card)
        more.show(seen)
        stamp.value = as_line(f"as of {when(seen.at)}")
        wanted = {key: open_ones.get(key) or make() for key, make in seen.waiting}
        if list(wanted) != list(open_ones):
            open_ones.clear()
            open_ones.update(wanted)
            inbox.children = [one.box for one in wanted.values()]
        return seen.over

    def shown(read: Callable[[], Watched]) -> bool:
        try:
            return show(read())
        except SmithersNbError as error:
            stamp.value = as_refusal(error)
            return False

    refresh.on_click(lambda _: shown(look))
    if not shown(look):
        live.follow(lambda: _follow(look, shown, mark or object, every_s))
    return live


class _More:
    """What can be looked through below a watched page; begun when there is something."""

    def __init__(self) -> None:
        import ipywidgets as widgets

        self.box = widgets.VBox([])
        self._parts: dict[type[Any], Any] = {}

    def show(self, seen: Watched) -> None:
        """Show the runs and the tasks, if there are any."""
        if seen.runs:
            self._part(FleetTable).show(seen.runs)
        if seen.tasks and seen.tasks.standings:
            self._part(NodeGraph).show(seen.tasks)

    def _part(self, kind: type[Any]) -> Any:
        if kind not in self._parts:
            self._parts[kind] = kind()
            self.box.children = [part.box for part in self._parts.values()]
        return self._parts[kind]


async def _follow(
    look: Callable[[], Watched], shown: Callable[[Callable[[], Watched]], bool], mark: Callable[[], object], every_s: float
) -> None:
    """Read in a thread whenever the mark has changed, and show it, until all is over."""
    known, due, over = object(), 0.0, False
    while not over:
        now, clock = mark(), time.monotonic()
        if now != known or clock >= due:
            known, due = now, clock + _ANYWAY_S
            reading = asyncio.create_task(asyncio.to_thread(look))
            await asyncio.wait([reading])
            over = shown(reading.result)
        await asyncio.sleep(every_s)
