"""The launch of the implementation workflow behind `gate:launch`, and the loop that watches it to its end."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Final

from smithers_nb.engine.journal.records import Node, read_output
from smithers_nb.errors import SmithersNbError
from smithers_nb.workflows.smithering.building.build import read_index
from smithers_nb.workflows.smithering.launch.child import launch, resume_child, state_of, wait_until
from smithers_nb.workflows.smithering.launch.implementation import BUILD
from smithers_nb.workflows.smithering.launch.orchestration import child_parameters, planned
from smithers_nb.workflows.smithering.launch.progress import write_progress
from smithers_nb.workflows.smithering.launch.triage import triage
from smithers_nb.workflows.smithering.results.launch import BuildSummary, Launch, MonitorPoll, MonitorReport, MonitorTriage, Scaffold
from smithers_nb.workflows.smithering.results.plan import Backpressure
from smithers_nb.workflows.smithering.work import Work, step

_LEAST: Final = 4


@step
def launching(work: Work) -> Launch | None:
    """Show every command that will run, wait at `gate:launch`, and start the child run."""
    scaffold, tickets, gates = work.row("wf:scaffold", Scaffold), planned(work).tickets, work.row("backpressure", Backpressure)
    commands = {f"{ticket.id} ({criterion})": command for ticket in tickets for criterion, command in ticket.commands()}
    checks = {f"{gate.criterion_id} ({gate.gate_type})": gate.checked_by for gate in gates.gates if gate.checked_by}
    details = {"workflow": scaffold.path, "sha256": scaffold.digest, **commands, **checks}
    summary = f"{len(tickets)} tickets; these commands will run in worktrees of {work.repo}, each with a time limit and few variables."
    if not work.gate("gate:launch", "Launch the implementation?", summary, details):
        work.end("cancelled:launch", "the launch was denied at gate:launch")
        return None
    row = work.stage("launch", Launch, partial(_launched, work, scaffold))
    if not row.launched:
        work.end("cancelled:launch-failed", row.detail, "incomplete")
    return row


@step
def monitor(work: Work) -> BuildSummary | None:
    """Watch the child until it is over: each cycle is looked at, written down and, when it is in trouble, triaged within the remit."""
    child = work.row("launch", Launch).child_run_id
    cycles = max(_LEAST, math.ceil(work.parameters.max_monitor_hours * 60 / work.parameters.monitor_minutes))
    resumed, taken = False, set[str]()
    for number in range(cycles):
        poll = work.stage("monitor:poll", MonitorPoll, partial(_polled, work, child, resumed=resumed), iteration=number)
        resumed = resumed or poll.resumed
        work.stage("monitor:report", MonitorReport, partial(write_progress, work, poll, number), iteration=number)
        if poll.terminal and poll.status != "failed":
            break
        if poll.needs_attention:
            found = work.stage("monitor:triage", MonitorTriage, partial(triage, work, child, poll, frozenset(taken)), iteration=number)
            taken |= set(found.actions_taken)
            if found.escalate:
                break
    return _ended(work, child)


def _launched(work: Work, scaffold: Scaffold) -> Launch:
    child = f"impl-{work.run_id}"
    try:
        given = child_parameters(work)
        hours = work.parameters.max_monitor_hours
        detail = launch(work.location, Path(scaffold.path), given, run_id=child, parent=work.run_id, hours=hours)
    except SmithersNbError as error:
        return Launch(launched=False, child_run_id=child, detail=str(error))
    return Launch(launched=True, child_run_id=child, detail=detail)


def _polled(work: Work, child: str, *, resumed: bool) -> MonitorPoll:
    """Wait for the end of the cycle or of the child, and resume it once if it lost its process."""
    seconds = work.parameters.monitor_minutes * 60
    state, did = wait_until(work.location, child, seconds), ""
    if state.is_stale and not resumed:
        did = resume_child(work.location, child)
        state = wait_until(work.location, child, seconds)
    attention = state.is_stale or state.waits or state.status == "failed"
    said = "; ".join(filter(None, (f"{child} is {state.status}", did, state.error)))
    return MonitorPoll(status=state.status, terminal=state.is_over, needs_attention=attention, resumed=bool(did), detail=said)


def _ended(work: Work, child: str) -> BuildSummary | None:
    """Take what the child made; a build that is not complete is decided at `gate:incomplete`."""
    summary = work.stage("build:result", BuildSummary, partial(_result, work, child))
    if summary.complete:
        return summary
    state = state_of(work.location, child)
    details = {"child run": f"{child}: {state.status}", **summary.failed, "landed": ", ".join(summary.landed) or "nothing"}
    details["to build the rest once more"] = f"smithers-nb smithering --again {work.run_id}"
    total = len(summary.landed) + len(summary.failed)
    said = f"{len(summary.landed)} of {total} tickets landed"
    if not work.gate("gate:incomplete", "Go on with what has landed?", said, details):
        work.end("cancelled:incomplete", f"{said}; it was decided not to go on with that", "incomplete")
        return None
    return summary


def _result(work: Work, child: str) -> BuildSummary:
    """Read what the child's last stage said; of one that did not get there, what its index and git say."""
    from smithers_nb.engine.journal import Journal
    from smithers_nb.workflows.smithering.landing.worktrees import Worktrees

    with Journal.open(work.location) as journal, journal.reading() as connection:
        found = read_output(connection, Node(child, BUILD))
    if found is not None:
        return BuildSummary.read(found)
    trees = Worktrees(work.repo, work.run_id, work.parameters.base_branch)
    trees.prepare()
    landed = trees.landed()
    states = {state.ticket_id: state for state in read_index(work.artifacts, work.run_id)}
    failed = {
        ticket.id: (states[ticket.id].detail or states[ticket.id].state) if ticket.id in states else "never begun"
        for ticket in planned(work).tickets
        if ticket.id not in landed
    }
    return BuildSummary(branch=trees.integration, tip=trees.tip(), base=trees.base, landed=landed, failed=failed)
