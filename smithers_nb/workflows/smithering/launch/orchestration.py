"""From tickets to a workflow that may be launched: proof of concept, orchestration, the generated notebook and its validation."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

from smithers_nb.workflows.smithering.landing.git import git
from smithers_nb.workflows.smithering.landing.worktrees import Worktrees
from smithers_nb.workflows.smithering.launch import workflow_file
from smithers_nb.workflows.smithering.launch.child import launch, state_of, wait_until
from smithers_nb.workflows.smithering.planning.design import ask_tickets
from smithers_nb.workflows.smithering.results.launch import OrchDesign, Scaffold, Smoke, Verify, WfReview
from smithers_nb.workflows.smithering.results.plan import Tickets
from smithers_nb.workflows.smithering.results.spec import Setup
from smithers_nb.workflows.smithering.tickets import Ticket
from smithers_nb.workflows.smithering.work import Work, instructions, step
from smithers_nb.workflows.smithering.workforce.base import WorkDone, WorkOrder

VERIFIES: Final = 3
SMOKES: Final = 2
_SMOKE_HOURS: Final = 0.25


@step
def poc(work: Work) -> None:
    """Build a proof of concept, if one was asked for: its diff is kept, nothing of it lands."""
    if not work.parameters.poc:
        return

    def built() -> WorkDone:
        trees = Worktrees(work.repo, f"{work.run_id}-poc", work.parameters.base_branch)
        trees.prepare()
        folder = trees.open("poc")
        ticket = Ticket(id="poc", title="Proof of concept", instructions=instructions("poc"))
        done = work.workforce.implement(WorkOrder(ticket=ticket, folder=folder, run_id=work.run_id, context=_known(work, "prd", "eng:doc")))
        trees.commit_rest(folder, "Proof of concept")
        work.write("poc.patch", git(folder, "diff", trees.base, "HEAD") + "\n")
        trees.close("poc", {})
        trees.discard()
        return done

    from smithers_nb.workflows.notebook import api

    api.stage("poc", built, schema=WorkDone)


@step
def orchestrate(work: Work) -> Scaffold:
    """Design how the tickets are built, and generate the implementation workflow from them."""
    work.ask("orch:design", OrchDesign, "prd", "eng:doc", "tickets", artifact="orchestration.json")
    return work.stage("wf:scaffold", Scaffold, partial(_generated, work, "tickets"))


@step
def validate(work: Work) -> Scaffold | None:
    """Verify the generated workflow, have it reviewed, put right what blocks, and try it as a child run."""
    scaffold = _verified(work, work.row("wf:scaffold", Scaffold))
    if scaffold is None:
        return None
    review = work.ask("wf:review", WfReview, "prd", "backpressure", "tickets", "orch:design")
    if not review.approved or review.blocking_issues:
        ask_tickets(work, "wf:fix-blocking", "tickets", "wf:review")
        scaffold = work.stage("wf:scaffold", Scaffold, partial(_generated, work, "wf:fix-blocking"), iteration=1)
        again = work.stage("wf:reverify", Verify, lambda: workflow_file.verify(scaffold, planned(work).tickets))
        if not again.passed:
            work.end("cancelled:wf", "; ".join(again.errors))
            return None
    if work.parameters.smoke_test:
        _smoked(work, scaffold)
    return scaffold


def planned(work: Work) -> Tickets:
    """Return the tickets as they are to be built: those of the review's corrections, if there are any."""
    fixed = work.rows.get("wf:fix-blocking")
    return fixed if isinstance(fixed, Tickets) else work.row("tickets", Tickets)


def child_parameters(work: Work, *, rehearse: bool = False) -> dict[str, object]:
    """Return what the generated workflow is given."""
    given, design = work.parameters, work.rows.get("orch:design")
    attempts = design.attempts if isinstance(design, OrchDesign) else 4
    return {
        "build_run_id": work.run_id,
        "repo": str(work.repo),
        "base_branch": given.base_branch,
        "artifacts": str(work.artifacts),
        "provider": given.provider,
        "book": str(Path(given.book).expanduser().resolve()) if given.book else None,
        "parallel": given.parallel,
        "attempts": max(1, min(attempts, 10)),
        "agent_timeout_minutes": given.agent_timeout_minutes,
        "max_agent_calls": given.max_agent_calls,
        "command_timeout_minutes": given.command_timeout_minutes,
        "rehearse": rehearse,
    }


def _generated(work: Work, node_id: str) -> Scaffold:
    title = " ".join(work.row("setup", Setup).prompt.split())
    return workflow_file.generate(work.folder / "implementation.ipynb", work.row(node_id, Tickets).tickets, title)


def _verified(work: Work, scaffold: Scaffold) -> Scaffold | None:
    """Check the file; one that does not stand up is generated anew, at most three times."""
    for number in range(VERIFIES):
        found = work.stage("wf:verify", Verify, partial(workflow_file.verify, scaffold, planned(work).tickets), iteration=number)
        if found.passed:
            return scaffold
        scaffold = work.stage("wf:fix", Scaffold, partial(_generated, work, "tickets"), iteration=number)
    work.end("cancelled:wf", "; ".join(found.errors))
    return None


def _smoked(work: Work, scaffold: Scaffold) -> None:
    """Run the generated workflow as a child that rehearses: no command of a ticket runs before `gate:launch` has shown it."""
    for number in range(SMOKES):
        found = work.stage("wf:smoke", Smoke, partial(_smoke, work, scaffold, f"smoke-{work.run_id}-{number + 1}"), iteration=number)
        if found.passed:
            return
        if number + 1 < SMOKES:
            scaffold = work.stage("wf:smoke-fix", Scaffold, partial(_generated, work, _source(work)), iteration=number)
    work.end("cancelled:smoke", found.summary, "incomplete")


def _smoke(work: Work, scaffold: Scaffold, child: str) -> Smoke:
    launch(work.location, Path(scaffold.path), child_parameters(work, rehearse=True), run_id=child, parent=work.run_id, hours=_SMOKE_HOURS)
    state = wait_until(work.location, child, _SMOKE_HOURS * 3_600)
    passed = state.status == "finished"
    said = f"the rehearsal {child} is {state.status}{f': {state.error}' if state.error else ''}"
    return Smoke(
        passed=passed, child_run_id=child, summary=said, errors=() if passed else (state.error or state_of(work.location, child).status,)
    )


def _source(work: Work) -> str:
    return "wf:fix-blocking" if "wf:fix-blocking" in work.rows else "tickets"


def _known(work: Work, *names: str) -> dict[str, object]:
    return {name: work.rows[name].as_json() for name in names if name in work.rows}
