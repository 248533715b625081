"""From a spec to tickets: design, engineering plan, a verification per criterion, probes of the plan's assumptions, tickets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

from smithers_nb.workflows.smithering.landing.commands import run_command
from smithers_nb.workflows.smithering.landing.worktrees import Worktrees
from smithers_nb.workflows.smithering.planning.spec import research
from smithers_nb.workflows.smithering.results.plan import (
    Assumption,
    Backpressure,
    DocReview,
    Document,
    EngDoc,
    Probe,
    ProbeSynthesis,
    Tickets,
)
from smithers_nb.workflows.smithering.results.spec import Prd
from smithers_nb.workflows.smithering.tickets import KEBAB_CASE, TicketGraph
from smithers_nb.workflows.smithering.work import Work, step, together

D = TypeVar("D", Document, EngDoc)

ROUNDS: Final = 3
"""Rounds of draft and review before the last draft is accepted as it is."""

_MAX_PARALLEL: Final = 3
_PROBE_RETRIES: Final = 2


@step
def design(work: Work) -> Document:
    """Draft and review the design document until it is approved, then finalise it."""
    research(work, "design-art", after=("intake", "prd", "answers"))
    about = ("intake", "prd", "answers", "research:design-art")
    _loop(work, ("design:draft", "design:review"), about, partial(_draft, work))
    return work.ask(
        "design:final",
        Document,
        *about,
        "design:draft",
        "design:review",
        check=_check_document,
        then=lambda row: replace(row, artifact_path=work.write("design.md", row.document + "\n")),
    )


@step
def engineering(work: Work) -> EngDoc:
    """Draft and review the engineering plan and wait at `gate:eng`, which shows every command the probes will run."""
    research(work, "eng-deps", "eng-oss", after=("intake", "prd", "design:final"))
    about = ("prd", "answers", "design:final", "research:eng-deps", "research:eng-oss")
    plan = _loop(work, ("eng:doc", "eng:review"), about, partial(_draft_plan, work))
    path = str(work.folder / "engineering.md")
    risks = "; ".join(f"{each.name}: {each.risk}" for each in plan.dependencies if each.risk)
    probes = {f"probe:{each.id}": f"{each.assumption} Runs: {each.probe}" for each in plan.assumptions_to_probe}
    if not work.gate(
        "gate:eng", "Is this how it should be built?", plan.summary or plan.architecture, {"plan": path, "risks": risks, **probes}
    ):
        work.end("cancelled:eng", "the engineering plan was denied at gate:eng")
    return plan


@step
def backpressure(work: Work) -> Backpressure:
    """Map every criterion to a verification."""
    spec = work.row("prd", Prd)

    def written(row: Backpressure) -> Backpressure:
        return replace(row, artifact_path=work.write_json("backpressure.json", [gate.as_json() for gate in row.gates]))

    return work.ask("backpressure", Backpressure, "prd", "eng:doc", "design:final", check=partial(_check_gates, spec), then=written)


@step
def probes(work: Work) -> ProbeSynthesis:
    """Probe every assumption; when a blocking one does not hold, a person decides at `gate:probes`."""
    plan = work.row("eng:doc", EngDoc)
    results = together([partial(_probe, work, each) for each in plan.assumptions_to_probe], _MAX_PARALLEL)
    failed = [each for each in results if not each.passed]
    blocking = [each for each in failed if each.blocking]
    row = ProbeSynthesis(
        all_passed=not failed,
        blocking_failure=bool(blocking),
        failed_ids=tuple(each.assumption_id for each in failed),
        plan_changes=tuple(each.plan_impact for each in failed),
        summary=f"{len(results) - len(failed)} of {len(results)} assumptions hold" if results else "the plan makes no assumptions",
    )
    synthesis = work.stage("probe:synthesis", ProbeSynthesis, lambda: row)
    if synthesis.blocking_failure:
        details = {each.assumption_id: "; ".join((each.summary, *each.evidence)) for each in blocking}
        if not work.gate("gate:probes", "Continue although an assumption does not hold?", synthesis.summary, details):
            work.end("cancelled:probes", f"assumptions do not hold: {', '.join(each.assumption_id for each in blocking)}")
    return synthesis


@step
def tickets(work: Work) -> Tickets:
    """Break the work into tickets with dependencies."""
    return ask_tickets(work, "tickets")


def ask_tickets(work: Work, node_id: str, *about: str) -> Tickets:
    """Ask for tickets in a stage, check them against the spec and its criteria, and write `tickets.json`."""
    spec, gates = work.row("prd", Prd), work.row("backpressure", Backpressure)

    def written(row: Tickets) -> Tickets:
        ordered = tuple(TicketGraph(row.tickets))
        value = {"version": 1, "notes": row.notes, "tickets": [ticket.as_json() for ticket in ordered]}
        return replace(row, tickets=ordered, artifact_path=work.write_json("tickets.json", value))

    context = ("prd", "design:final", "eng:doc", "backpressure", "probe:synthesis", *about)
    return work.ask(node_id, Tickets, *context, check=partial(check_tickets, spec, gates), then=written)


def check_tickets(spec: Prd, gates: Backpressure, row: Tickets) -> None:
    """Refuse tickets that leave out a requirement, name an unknown criterion, or have no command that verifies them.

    Raises:
        ValueError: The tickets have one of these faults.
        TicketsRefused: The tickets do not form a graph.
    """
    TicketGraph(row.tickets)
    if not row.tickets:
        raise ValueError("tickets: there are none")
    unverified = [ticket.id for ticket in row.tickets if not list(ticket.commands())]
    if unverified:
        raise ValueError(f"tickets without a verification of kind command: {', '.join(unverified)}")
    served = {need for ticket in row.tickets for need in ticket.requirement_ids}
    missing = [need.id for need in spec.requirements if need.id not in served]
    if missing:
        raise ValueError(f"requirements that no ticket serves: {', '.join(missing)}")
    known = {gate.criterion_id for gate in gates.gates}
    unknown = sorted({check.criterion_id for ticket in row.tickets for check in ticket.verification if check.criterion_id} - known)
    if unknown:
        raise ValueError(f"criterionId that backpressure does not know: {', '.join(unknown)}")


def _loop(work: Work, ids: tuple[str, str], about: tuple[str, ...], draft: Callable[[int, tuple[str, ...]], D]) -> D:
    """Draft and review until a review approves, at most `ROUNDS` times; `ids` are the stages of draft and review."""
    for number in range(ROUNDS):
        row = draft(number, (*about, ids[1]))
        if work.ask(ids[1], DocReview, *about, ids[0], iteration=number).approved:
            break
    return row


def _draft(work: Work, number: int, about: tuple[str, ...]) -> Document:
    return work.ask("design:draft", Document, *about, iteration=number, check=_check_document)


def _draft_plan(work: Work, number: int, about: tuple[str, ...]) -> EngDoc:
    def written(row: EngDoc) -> EngDoc:
        text = row.document or f"# Engineering plan\n\n{row.architecture}\n"
        return replace(row, artifact_path=work.write("engineering.md", text))

    check = partial(_check_plan, work.row("prd", Prd))
    return work.ask("eng:doc", EngDoc, *about, iteration=number, check=check, then=written)


def _check_document(row: Document) -> None:
    if not row.document.strip():
        raise ValueError("document is empty")


def _check_plan(spec: Prd, row: EngDoc) -> None:
    ids = [each.id for each in row.assumptions_to_probe]
    wrong = [each for each in ids if not KEBAB_CASE.fullmatch(each)]
    if wrong or len(set(ids)) < len(ids):
        raise ValueError(f"assumptionsToProbe: ids are kebab-case words, each used once: {', '.join(wrong or ids)}")
    traced = {each.requirement_id for each in row.requirements_traceability}
    missing = [need.id for need in spec.requirements if need.id not in traced]
    if missing:
        raise ValueError(f"requirementsTraceability leaves out {', '.join(missing)}")


def _check_gates(spec: Prd, row: Backpressure) -> None:
    expected = {name for need in spec.requirements for name, _ in need.criteria}
    gated = [gate.criterion_id for gate in row.gates]
    missing, unknown = ", ".join(sorted(expected - set(gated))), ", ".join(sorted(set(gated) - expected))
    if missing or unknown or len(set(gated)) < len(gated):
        raise ValueError(f"gates: every criterion once; left out: {missing or 'none'}; unknown: {unknown or 'none'}")


def _probe(work: Work, assumption: Assumption) -> Probe:
    """Run the command of an assumption in a checkout of the base branch, again when the environment made it fail."""

    def run() -> Probe:
        trees = Worktrees(work.repo, f"{work.run_id}-probe-{assumption.id}", work.parameters.base_branch)
        trees.prepare()
        checkout = trees.checkout(assumption.id)
        log = work.folder / "probes" / f"{assumption.id}.log"
        for _ in range(1 + _PROBE_RETRIES):
            result = run_command(assumption.probe, checkout, log, timeout_s=work.parameters.command_timeout_minutes * 60)
            if result.status != "infra":
                break
        trees.discard()
        passed = result.status == "green"
        return Probe(
            assumption_id=assumption.id,
            passed=passed,
            summary=f"{assumption.assumption} {'holds' if passed else f'does not hold: {result.why}'}",
            evidence=(f"`{assumption.probe}` {result.why}",),
            artifact_path=str(log),
            plan_impact="" if passed else f"without {assumption.id} the plan has to change",
            blocking=assumption.blocking,
        )

    return work.stage(f"probe:{assumption.id}", Probe, run)
