"""The stages in their order, as `notebooks/smithering.ipynb` calls them."""

from __future__ import annotations

from smithers_nb.workflows.smithering.design import backpressure, design, engineering, probes, tickets
from smithers_nb.workflows.smithering.direct import direct
from smithers_nb.workflows.smithering.finishing import deliver, output, polish, review
from smithers_nb.workflows.smithering.launching import launching, monitor
from smithers_nb.workflows.smithering.orchestration import orchestrate, poc, validate
from smithers_nb.workflows.smithering.planning import brainstorm, intake, prd, preflight, questions, research, setup, tier
from smithers_nb.workflows.smithering.work import begin

__all__ = [
    "backpressure",
    "begin",
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
