"""Which criterion is proved by which command, on which commit: made without a model, from commands that we run ourselves.

What agents say is no evidence. Every command of a ticket is run again on the delivered commit; a criterion without a command that was
green there has no evidence. An issue that a worker admits and that is about a criterion of its ticket keeps the work from delivery.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from smithers_nb.model.finding import described
from smithers_nb.redact import redact
from smithers_nb.workflows.smithering.commands import Result, run_command
from smithers_nb.workflows.smithering.evidence import WORK, Evidence, build_folder
from smithers_nb.workflows.smithering.results import Shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from smithers_nb.workflows.smithering.results import Backpressure, BackpressureGate, Prd
    from smithers_nb.workflows.smithering.tickets import Ticket

NO_EVIDENCE: Final = "NO EVIDENCE"
_BY_PEOPLE: Final = frozenset({"agent_review", "approval", "manual_check"})
_WORD: Final = re.compile(r"[a-z]{4,}")
_COMMON: Final = frozenset(
    {"that", "this", "with", "from", "when", "have", "must", "does", "will", "should", "into", "which", "than", "then", "they", "only"}
)
_OVERLAP: Final = 2


class Clause(Shown):
    """One criterion and what proves it."""

    criterion_id: str
    criterion: str
    method: str = ""
    gate_type: str = "blocking"
    ticket_id: str = ""
    command: str = ""
    status: Literal["green", "red", "infra", "NO EVIDENCE", "to be judged"] = NO_EVIDENCE
    why: str = ""
    log: str = described("file of the command's output", default="")
    commit: str = described("commit that it ran on", default="")


class Proof(Shown):
    """Every criterion, and what keeps the work from being delivered."""

    summary: str
    commit: str
    clauses: tuple[Clause, ...] = ()
    blocking: tuple[str, ...] = described("reasons that keep it from delivery", default=())
    known_issues: tuple[str, ...] = described("what workers say does not work", default=())


def prove(  # noqa: PLR0913  # what a proof is made from
    spec: Prd,
    gates: Backpressure,
    tickets: Iterable[Ticket],
    *,
    landed: Mapping[str, str],
    checkout: Path,
    commit: str,
    folder: Path,
    artifacts: Path,
    run_id: str,
    timeout_s: float,
) -> Proof:
    """Run every command on the delivered commit and write down what that proves.

    Args:
        spec: The criteria.
        gates: How each is verified.
        tickets: What was built; their commands decide.
        landed: Ticket to land commit.
        checkout: Checkout of the delivered commit.
        commit: That commit.
        folder: Where the logs go.
        artifacts: Folder of artifacts, which has what workers said.
        run_id: The run that built.
        timeout_s: Seconds that one command may take.
    """
    chosen = list(tickets)
    ran: dict[str, _Ran] = {}
    for ticket in (each for each in chosen if each.id in landed):
        for _, command in ticket.commands():
            if command not in ran:
                log = folder / f"{len(ran) + 1:03d}-{ticket.id}.log"
                ran[command] = _Ran(run_command(command, checkout, log, timeout_s=timeout_s), str(log))
    method = {gate.criterion_id: gate for gate in gates.gates}
    texts = dict(item for need in spec.requirements for item in need.criteria)
    decided = [(name, ticket, command) for ticket in chosen for name, command in ticket.commands()]
    rows = [
        _clause(name, texts.get(name, ""), method.get(name), ran.get(command), ticket, command, commit) for name, ticket, command in decided
    ]
    bare = [_without(name, text, method.get(name)) for name, text in texts.items() if all(row.criterion_id != name for row in rows)]
    clauses = sorted(
        [*rows, *bare],
        key=lambda row: (row.criterion_id not in texts, [*texts].index(row.criterion_id) if row.criterion_id in texts else 0),
    )
    issues, against = _issues(spec, chosen, landed, artifacts, run_id)
    blocking = [f"{row.criterion_id}: {row.status}{f', {row.why}' if row.why else ''}" for row in clauses if _blocks(row)] + against
    proved = sum(row.status == "green" for row in clauses)
    summary = f"{proved} of {len(clauses)} clauses are proved by a command on {commit[:12]}"
    return Proof(summary=summary, commit=commit, clauses=tuple(clauses), blocking=tuple(blocking), known_issues=tuple(issues))


class _Ran(NamedTuple):
    result: Result
    log: str


def _clause(  # noqa: PLR0913, PLR0917  # what a row says
    name: str, text: str, gate: BackpressureGate | None, ran: _Ran | None, ticket: Ticket, command: str, commit: str
) -> Clause:
    """Say what a command proves; that of a ticket that has not landed was not run and proves nothing."""
    return Clause(
        criterion_id=name,
        criterion=text,
        method=gate.verification_method if gate else "",
        gate_type=gate.gate_type if gate else "blocking",
        ticket_id=ticket.id,
        command=command,
        status=ran.result.status if ran else NO_EVIDENCE,
        why=ran.result.why if ran else f"{ticket.id} has not landed",
        log=ran.log if ran else "",
        commit=commit if ran else "",
    )


def _without(name: str, text: str, gate: BackpressureGate | None) -> Clause:
    """Say of a criterion that no command decides whether a person has to."""
    judged = gate is not None and gate.verification_method in _BY_PEOPLE
    return Clause(
        criterion_id=name,
        criterion=text,
        method=gate.verification_method if gate else "",
        gate_type=gate.gate_type if gate else "blocking",
        status="to be judged" if judged else NO_EVIDENCE,
        why="" if judged else "no command decides it",
    )


def _blocks(row: Clause) -> bool:
    """A red command always counts; a criterion without evidence counts when its gate is blocking."""
    return row.status in {"red", "infra"} or (row.status == NO_EVIDENCE and row.gate_type == "blocking")


def _issues(spec: Prd, tickets: list[Ticket], landed: Mapping[str, str], artifacts: Path, run_id: str) -> tuple[list[str], list[str]]:
    """Return what workers of landed tickets admit, and what of that contradicts a criterion of their ticket."""
    needs = {need.id: need for need in spec.requirements}
    admitted, against = [], []
    for ticket in tickets:
        if ticket.id not in landed:
            continue
        told = Evidence(build_folder(artifacts, run_id), ticket.id).read(WORK) or {}
        for issue in (redact(str(each)) for each in told.get("knownIssues") or ()):
            admitted.append(f"{ticket.id}: {issue}")
            for criterion_id, text in (item for name in ticket.requirement_ids if name in needs for item in needs[name].criteria):
                if (
                    criterion_id in issue
                    or criterion_id.partition(".")[0] in issue.split()
                    or len(_words(issue) & _words(text)) >= _OVERLAP
                ):
                    against.append(f"{criterion_id}: {ticket.id} admits that {issue!r}")
    return admitted, against


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower())) - _COMMON
