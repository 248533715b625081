"""The stages that `notebooks/smithering.ipynb` calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smithers_nb.workflows.smithering.delivery.finishing import deliver, output, polish, review
from smithers_nb.workflows.smithering.launch.launching import launching, monitor
from smithers_nb.workflows.smithering.launch.orchestration import orchestrate, poc, validate
from smithers_nb.workflows.smithering.planning.design import backpressure, design, engineering, probes, tickets
from smithers_nb.workflows.smithering.planning.direct import direct
from smithers_nb.workflows.smithering.planning.spec import brainstorm, intake, prd, preflight, questions, research, setup, tier
from smithers_nb.workflows.smithering.work import Work, begin

if TYPE_CHECKING:
    from smithers_nb.present.html.markup import Card
    from smithers_nb.present.widgets.widgets import Live

__all__ = [
    "backpressure",
    "begin",
    "board",
    "brainstorm",
    "deliver",
    "design",
    "direct",
    "engineering",
    "intake",
    "launching",
    "monitor",
    "orchestrate",
    "output",
    "poc",
    "polish",
    "prd",
    "preflight",
    "probes",
    "questions",
    "research",
    "review",
    "setup",
    "tickets",
    "tier",
    "validate",
]


def board(work: Work) -> Card | Live:
    """Return the stage board: a live one in JupyterLab, a card of this moment when a worker executes the notebook."""
    from smithers_nb.engine import stages
    from smithers_nb.workflows.smithering.board import read_board, watch_board

    if stages.current() is None:
        return watch_board(work.location, work.run_id, work.artifacts)
    return read_board(work.location, work.run_id, work.artifacts).card()
