"""From a spec to tickets: design, engineering plan, a verification for every criterion, probes of assumptions, and the work in pieces."""

from __future__ import annotations

import re
from collections.abc import Callable
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
from smithers_nb.workflows.smithering.tickets import TicketGraph
from smithers_nb.workflows.smithering.work import Work, step, together

D = TypeVar("D", Document, EngDoc)

ROUNDS: Final = 3
"""How often a document is drafted and reviewed before the last draft is taken as it is."""

_PROBES: Final = 3
_RETRIES: Final = 2
_ID: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


@step
def design(work: Work) -> Document:
    """Draft and review the design document until it is approved, then finalise it."""
    research(work, "design-art", after=("intake", "prd", "answers"))
    about = ("intake", "prd", "answers", "research:design-art")
    _loop(work, ("design:draft", "design:review"), about, partial(_drafted, work))
    return work.asked(
        "design:final",
        Document,
        *about,
        "design:draft",
        "design:review",
        check=_check_document,
        then=lambda row: Document(summary=row.summary, document=row.document, artifact_path=work.write("design.md", row.document + "\n")),
    )


@step
def engineering(work: Work) -> EngDoc:
    """Draft and review the engineering plan and wait at `gate:eng`, which shows every command that the probes will run."""
    research(work, "eng-deps", "eng-oss", after=("intake", "prd", "design:final"))
    about = ("prd", "answers", "design:final", "research:eng-deps", "research:eng-oss")
    plan = _loop(work, ("eng:doc", "eng:review"), about, partial(_planned, work))
    path = str(work.folder / "engineering.md")
    risks = "; ".join(f"{each.name}: {each.risk}" for each in plan.dependencies if each.risk)
    probes = {f"probe:{each.id}": f"{each.assumption} Runs: {each.probe}" for each in plan.assumptions_to_probe}
    if not work.gate(
        "gate:eng", "Is this how it should be built?", plan.summary or plan.architecture, {"plan": path, "risks": risks, **probes}
    ):
        work.cancel("cancelled:eng", "the engineering plan was denied at gate:eng")
    return plan


@step
def backpressure(work: Work) -> Backpressure:
    """Map every criterion to a verification."""
    spec = work.row("prd", Prd)

    def written(row: Backpressure) -> Backpressure:
        path = work.write_json("backpressure.json", [gate.as_json() for gate in row.gates])
        return Backpressure(gates=row.gates, artifact_path=path)

    return work.asked("backpressure", Backpressure, "prd", "eng:doc", "design:final", check=partial(_check_gates, spec), then=written)


@step
def probes(work: Work) -> ProbeSynthesis:
    """Try every assumption; a blocking one that does not hold is decided at `gate:probes`."""
    plan = work.row("eng:doc", EngDoc)
    found = together([partial(_probed, work, each) for each in plan.assumptions_to_probe], _PROBES)
    failed = [each for each in found if not each.passed]
    blocking = [each for each in failed if each.blocking]
    row = ProbeSynthesis(
        all_passed=not failed,
        blocking_failure=bool(blocking),
        failed_ids=tuple(each.assumption_id for each in failed),
        plan_changes=tuple(each.plan_impact for each in failed),
        summary=f"{len(found) - len(failed)} of {len(found)} assumptions hold" if found else "the plan rests on no assumption",
    )
    synthesis = work.kept("probe:synthesis", ProbeSynthesis, lambda: row)
    if synthesis.blocking_failure:
        details = {each.assumption_id: "; ".join((each.summary, *each.evidence)) for each in blocking}
        if not work.gate("gate:probes", "Go on although an assumption does not hold?", synthesis.summary, details):
            work.cancel("cancelled:probes", f"assumptions do not hold: {', '.join(each.assumption_id for each in blocking)}")
    return synthesis


@step
def tickets(work: Work) -> Tickets:
    """Break the work into tickets that depend on each other."""
    return ask_tickets(work, "tickets")


def ask_tickets(work: Work, node_id: str, *about: str) -> Tickets:
    """Have tickets written by a stage, checked against spec and criteria, and put into `tickets.json`."""
    spec, gates = work.row("prd", Prd), work.row("backpressure", Backpressure)

    def written(row: Tickets) -> Tickets:
        value = {"version": 1, "notes": row.notes, "tickets": [ticket.as_json() for ticket in TicketGraph(row.tickets)]}
        path = work.write_json("tickets.json", value)
        return Tickets(tickets=tuple(TicketGraph(row.tickets)), notes=row.notes, artifact_path=path)

    known = ("prd", "design:final", "eng:doc", "backpressure", "probe:synthesis", *about)
    return work.asked(node_id, Tickets, *known, check=partial(check_tickets, spec, gates), then=written)


def check_tickets(spec: Prd, gates: Backpressure, row: Tickets) -> None:
    """Refuse tickets that are no graph, leave a requirement out, decide a criterion that does not exist, or cannot be verified.

    Raises:
        ValueError: They do one of these.
        TicketsRefused: They are no graph of work.
    """
    TicketGraph(row.tickets)
    if not row.tickets:
        raise ValueError("tickets: there are none")
    bare = [ticket.id for ticket in row.tickets if not any(True for _ in ticket.commands())]
    if bare:
        raise ValueError(f"tickets without a verification of the kind command: {', '.join(bare)}")
    served = {need for ticket in row.tickets for need in ticket.requirement_ids}
    left = [need.id for need in spec.requirements if need.id not in served]
    if left:
        raise ValueError(f"requirements that no ticket serves: {', '.join(left)}")
    known = {gate.criterion_id for gate in gates.gates}
    unknown = sorted({check.criterion_id for ticket in row.tickets for check in ticket.verification if check.criterion_id} - known)
    if unknown:
        raise ValueError(f"criterionId that backpressure does not know: {', '.join(unknown)}")


def _loop(work: Work, ids: tuple[str, str], about: tuple[str, ...], draft: Callable[[int, tuple[str, ...]], D]) -> D:
    """Draft and review until a review approves, at most three times; the ids are those of draft and review."""
    for number in range(ROUNDS):
        row = draft(number, (*about, ids[1]))
        if work.asked(ids[1], DocReview, *about, ids[0], iteration=number).approved:
            break
    return row


def _drafted(work: Work, number: int, about: tuple[str, ...]) -> Document:
    return work.asked("design:draft", Document, *about, iteration=number, check=_check_document)


def _planned(work: Work, number: int, about: tuple[str, ...]) -> EngDoc:
    def written(row: EngDoc) -> EngDoc:
        text = row.document or f"# Engineering plan\n\n{row.architecture}\n"
        return EngDoc(**{**vars(row), "artifact_path": work.write("engineering.md", text)})

    check = partial(_check_plan, work.row("prd", Prd))
    return work.asked("eng:doc", EngDoc, *about, iteration=number, check=check, then=written)


def _check_document(row: Document) -> None:
    if not row.document.strip():
        raise ValueError("document: it is empty")


def _check_plan(spec: Prd, row: EngDoc) -> None:
    ids = [each.id for each in row.assumptions_to_probe]
    wrong = [each for each in ids if not _ID.fullmatch(each)]
    if wrong or len(set(ids)) < len(ids):
        raise ValueError(f"assumptionsToProbe: ids are kebab-case words, each used once: {', '.join(wrong or ids)}")
    traced = {each.requirement_id for each in row.requirements_traceability}
    left = [need.id for need in spec.requirements if need.id not in traced]
    if left:
        raise ValueError(f"requirementsTraceability leaves out {', '.join(left)}")


def _check_gates(spec: Prd, row: Backpressure) -> None:
    wanted = {name for need in spec.requirements for name, _ in need.criteria}
    given = [gate.criterion_id for gate in row.gates]
    left, unknown = sorted(wanted - set(given)), sorted(set(given) - wanted)
    if left or unknown or len(set(given)) < len(given):
        raise ValueError(f"gates: every criterion once; left out: {', '.join(left) or 'none'}; unknown: {', '.join(unknown) or 'none'}")


def _probed(work: Work, assumption: Assumption) -> Probe:
    """Run an assumption's command in a checkout of the base branch, again when it failed for a reason outside of it."""

    def tried() -> Probe:
        trees = Worktrees(work.repo, f"{work.run_id}-probe-{assumption.id}", work.parameters.base_branch)
        trees.prepare()
        checkout = trees.checkout(assumption.id)
        log = work.folder / "probes" / f"{assumption.id}.log"
        for _ in range(1 + _RETRIES):
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

    return work.kept(f"probe:{assumption.id}", Probe, tried)
