"""The stage board: where a run is, what waits for a person, how its tickets stand and what is queued to land.

Read from the journal's rows and the index of the build, so it shows the same in a notebook, a terminal and a report, while the run goes on
and long after.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from smithers_nb.model.timestamps import now_ms, when
from smithers_nb.model.vocabulary import is_terminal
from smithers_nb.present.html.markup import Card, Html, h, join, table, text_table
from smithers_nb.present.html.parts import note, state_mark
from smithers_nb.present.html.states import look
from smithers_nb.present.html.text import one_line
from smithers_nb.workflows.smithering.building.build import read_index

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pandas as pd

    from smithers_nb.engine.location import Location
    from smithers_nb.present.widgets.widgets import Live
    from smithers_nb.workflows.smithering.building.scheduler import TicketState

STAGES: Final[dict[str, tuple[str, ...]]] = {
    "Request": ("setup", "route", "tier", "direct", "report:direct"),
    "Intake": ("preflight", "intake", "brainstorm"),
    "Research and questions": ("research:domain", "research:prior-art", "questions", "answers"),
    "Spec": ("prd", "gate:prd"),
    "Design": ("research:design-art", "design:"),
    "Engineering": ("research:eng-", "eng:", "gate:eng"),
    "Backpressure": ("backpressure",),
    "Probes": ("probe:", "gate:probes"),
    "Tickets": ("tickets",),
    "Workflow": ("poc", "orch:", "wf:"),
    "Build": ("gate:launch", "launch", "monitor:", "build:", "gate:incomplete"),
    "Review": ("review:", "polish"),
    "Delivery": ("report:", "gate:delivery", "delivery", "output"),
}
"""Stages in their order, each with its node ids; one that ends in `:` or `-` is the beginning of ids. The first that fits counts."""

_ENDED: Final = "cancelled:"
_STATES: Final = {
    "landed": "landed",
    "blocked": "failed",
    "blocked-by-dep": "blocked",
    "waiting-human": "waiting-approval",
    "needs-credential": "blocked",
    "working": "running",
    "ready-to-land": "requested",
    "waiting-deps": "pending",
}
_OVER: Final = frozenset({"finished", "skipped"})
_BOARD: Final = ("Stage", "State", "Nodes")
_TICKETS: Final = ("Ticket", "State", "Attempt", "Detail")


class Stage(NamedTuple):
    """One line of the board: a stage, its state, and the nodes that it has got to."""

    stage: str
    state: str
    nodes: str


class Board(NamedTuple):
    """A run at one moment.

    Attributes:
        run_id: The run.
        status: Its status.
        stages: Every stage, also those that are still to come.
        waiting: What a person is asked, a sentence each.
        tickets: How the tickets stand.
        queue: Tickets that are ready to land, in their order.
        at: When it was read, epoch milliseconds.
    """

    run_id: str
    status: str
    stages: list[Stage]
    waiting: list[str]
    tickets: list[TicketState]
    queue: list[str]
    at: int

    def frame(self) -> pd.DataFrame:
        """Return a row per stage: `stage`, `state`, `nodes`."""
        import pandas as pd

        return pd.DataFrame(self.stages, columns=list(Stage._fields)).astype("string")

    def card(self) -> Card:
        """Lay the board out for a person."""
        head = f"run {self.run_id}: {look(self.status).word}, as of {when(self.at)}"
        lines = join(h("tr", h("td", each.stage), _marked(each.state), h("td", each.nodes)) for each in self.stages)
        rows = [(each.stage, look(each.state).word, each.nodes) for each in self.stages]
        asks = [note(one_line(each, 400), state="requested") for each in self.waiting]
        queue = note(f"Merge queue: {', '.join(self.queue) or 'empty'}.")
        tickets = tickets_card(self.tickets)
        page = h("div", h("p", head, class_="snb-muted"), *asks, table("Stages", _BOARD, [lines]), queue, tickets, class_="snb")
        return Card(page, "\n".join([head, *(each.text for each in asks), text_table(_BOARD, rows), queue.text, tickets.text]))


def read_board(location: Location, run_id: str, artifacts: Path) -> Board:
    """Read how a run stands.

    Args:
        location: The project with the journal.
        run_id: The run.
        artifacts: Folder of artifacts, with the index of the build.

    Raises:
        JournalUnusable: The journal cannot be read.
        SmitheringError: The index of the build is damaged.
    """
    from smithers_nb.workflows.live.state import state_of

    state = state_of(location, run_id)
    tickets = read_index(artifacts, run_id)
    asks = [f"{each.node_id}: {each.prompt}" for each in state.asks]
    over = is_terminal(state.status)
    stages = [each._replace(state="skipped") if over and each.state == "pending" else each for each in stages_of(state.nodes)]
    queue = [each.ticket_id for each in tickets if each.state == "ready-to-land"]
    return Board(run_id, state.status, stages, asks, tickets, queue, now_ms())


def watch_board(location: Location, run_id: str, artifacts: Path) -> Live:
    """Show the board as the run goes on, with its gates and questions to be decided below it."""
    from smithers_nb.present.widgets.watch import Watched
    from smithers_nb.workflows.notebook.widget_callbacks import watch

    def seen() -> Watched:
        board = read_board(location, run_id, artifacts)
        return Watched(board.card(), (), board.at, is_terminal(board.status))

    return watch(location, seen, run_id)


def stages_of(nodes: Iterable[dict[str, Any]]) -> list[Stage]:
    """Put nodes under the stage that they belong to; `nodeId` is an id, `state` its state, and later rounds of a loop count."""
    found: dict[str, dict[str, str]] = {name: {} for name in STAGES}
    ended: dict[str, str] = {}
    for each in nodes:
        name, state = str(each["nodeId"]), str(each["state"])
        stage = next((stage for stage, ids in STAGES.items() if any(_belongs(name, wanted) for wanted in ids)), None)
        if name.startswith(_ENDED):
            ended[name] = state
        elif stage is not None:
            found[stage][name] = state
    rows = [Stage(stage, _state(list(states.values())), ", ".join(states)) for stage, states in found.items()]
    return rows + [Stage("Ended", "cancelled", ", ".join(ended))] * bool(ended)


def tickets_card(tickets: list[TicketState]) -> Card:
    """Show how each ticket stands."""
    if not tickets:
        return note("No ticket has begun.")
    cells = [(each.ticket_id, _STATES.get(each.state, each.state), str(each.attempt), one_line(each.detail, 300)) for each in tickets]
    lines = join(h("tr", h("td", name), _marked(state), h("td", tried), h("td", detail)) for name, state, tried, detail in cells)
    rows = [(each.ticket_id, each.state, str(each.attempt), each.detail) for each in tickets]
    return Card(h("div", table(f"Tickets ({len(rows)})", _TICKETS, [lines]), class_="snb"), text_table(_TICKETS, rows))


def _marked(state: str) -> Html:
    return h("td", h("span", state_mark(state), class_=f"snb-{look(state).tone}"))


def _belongs(name: str, wanted: str) -> bool:
    return name.startswith(wanted) if wanted.endswith((":", "-")) else name == wanted or name.startswith(f"{wanted}:")


def _state(states: list[str]) -> str:
    """Return the state of a stage: what needs attention first, and finished only when everything in it is."""
    waiting = next((state for state in states if state.startswith("waiting-")), None)
    if not states:
        return "pending"
    if "failed" in states:
        return "failed"
    return waiting or ("finished" if set(states) <= _OVER else next(state for state in states if state not in _OVER))
