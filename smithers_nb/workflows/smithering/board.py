"""The stage board: which stage a run has reached, what waits for a person, the state of each ticket and the merge queue.

It is read from the journal and the index of the build, so it shows the same in a notebook, a terminal and a report, during the run and
long after.
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
"""Stages in order, each with its node ids; one that ends in `:` or `-` is a prefix. A node belongs to the first stage that matches."""

_CANCELLED: Final = "cancelled:"
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
_DONE: Final = frozenset({"finished", "skipped"})
_STAGE_COLUMNS: Final = ("Stage", "State", "Nodes")
_TICKET_COLUMNS: Final = ("Ticket", "State", "Attempt", "Detail")


class Stage(NamedTuple):
    """One line of the board: a stage, its state, and those of its nodes that have a state."""

    stage: str
    state: str
    nodes: str


class Board(NamedTuple):
    """The state of a run at one moment.

    Attributes:
        run_id: Run ID.
        status: Status of the run.
        stages: All stages, including those still to come.
        waiting: Gates and questions waiting for a person, one sentence each.
        tickets: State of each ticket.
        queue: Tickets that are ready to land, in order.
        at: When the board was read, epoch milliseconds.
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
        """Return the board as a card."""
        head = f"run {self.run_id}: {look(self.status).word}, as of {when(self.at)}"
        lines = join(h("tr", h("td", each.stage), _state_cell(each.state), h("td", each.nodes)) for each in self.stages)
        rows = [(each.stage, look(each.state).word, each.nodes) for each in self.stages]
        asks = [note(one_line(each, 400), state="requested") for each in self.waiting]
        queue = note(f"Merge queue: {', '.join(self.queue) or 'empty'}.")
        tickets = tickets_card(self.tickets)
        page = h("div", h("p", head, class_="snb-muted"), *asks, table("Stages", _STAGE_COLUMNS, [lines]), queue, tickets, class_="snb")
        return Card(page, "\n".join([head, *(each.text for each in asks), text_table(_STAGE_COLUMNS, rows), queue.text, tickets.text]))


def read_board(location: Location, run_id: str, artifacts: Path) -> Board:
    """Read the board of a run.

    Args:
        location: The project with the journal.
        run_id: Run ID.
        artifacts: Folder of artifacts, which holds the index of the build.

    Raises:
        JournalUnusable: The journal cannot be read.
        SmitheringError: The index of the build is damaged.
    """
    from smithers_nb.workflows.live.state import state_of

    state = state_of(location, run_id)
    tickets = read_index(artifacts, run_id)
    asks = [f"{each.node_id}: {each.prompt}" for each in state.asks]
    ended = is_terminal(state.status)
    stages = [each._replace(state="skipped") if ended and each.state == "pending" else each for each in stages_of(state.nodes)]
    queue = [each.ticket_id for each in tickets if each.state == "ready-to-land"]
    return Board(run_id, state.status, stages, asks, tickets, queue, now_ms())


def watch_board(location: Location, run_id: str, artifacts: Path) -> Live:
    """Return a board that follows the run, with its gates and questions to decide below."""
    from smithers_nb.present.widgets.watch import Watched
    from smithers_nb.workflows.notebook.widget_callbacks import watch

    def read() -> Watched:
        board = read_board(location, run_id, artifacts)
        return Watched(board.card(), (), board.at, is_terminal(board.status))

    return watch(location, read, run_id)


def stages_of(nodes: Iterable[dict[str, Any]]) -> list[Stage]:
    """Group nodes by stage; each has `nodeId` and `state`, and of a loop the last iteration counts."""
    reached: dict[str, dict[str, str]] = {name: {} for name in STAGES}
    cancelled: dict[str, str] = {}
    for each in nodes:
        name, state = str(each["nodeId"]), str(each["state"])
        stage = next((stage for stage, ids in STAGES.items() if any(_matches(name, node_id) for node_id in ids)), None)
        if name.startswith(_CANCELLED):
            cancelled[name] = state
        elif stage is not None:
            reached[stage][name] = state
    rows = [Stage(stage, _state(list(states.values())), ", ".join(states)) for stage, states in reached.items()]
    return rows + [Stage("Ended", "cancelled", ", ".join(cancelled))] * bool(cancelled)


def tickets_card(tickets: list[TicketState]) -> Card:
    """Return a table of the tickets and their states."""
    if not tickets:
        return note("No ticket has been started.")
    cells = [(each.ticket_id, _STATES.get(each.state, each.state), str(each.attempt), one_line(each.detail, 300)) for each in tickets]
    lines = join(h("tr", h("td", name), _state_cell(state), h("td", tried), h("td", detail)) for name, state, tried, detail in cells)
    rows = [(each.ticket_id, each.state, str(each.attempt), each.detail) for each in tickets]
    return Card(h("div", table(f"Tickets ({len(rows)})", _TICKET_COLUMNS, [lines]), class_="snb"), text_table(_TICKET_COLUMNS, rows))


def _state_cell(state: str) -> Html:
    return h("td", h("span", state_mark(state), class_=f"snb-{look(state).tone}"))


def _matches(name: str, node_id: str) -> bool:
    return name.startswith(node_id) if node_id.endswith((":", "-")) else name == node_id or name.startswith(f"{node_id}:")


def _state(states: list[str]) -> str:
    """Return the state of a stage: the one that most needs attention; finished only when all its nodes are."""
    if not states:
        return "pending"
    if "failed" in states:
        return "failed"
    unfinished = [state for state in states if state not in _DONE]
    waiting = [state for state in unfinished if state.startswith("waiting-")]
    return next(iter(waiting + unfinished), "finished")
