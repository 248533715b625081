"""Which criterion is proved, by which command, log and commit: made from criteria, evidence folders and git, without a model.

Nobody's word counts. Every command that decides about a criterion is run again, by us, on the commit that would be delivered; what a
worker claimed stands beside what the commands said, and what it admits itself is held against the criteria. Commands run here have been
shown at `gate:launch` before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from smithers_nb.artifacts import safe_name
from smithers_nb.model.finding import described
from smithers_nb.redact import redact
from smithers_nb.workflows.smithering.landing.commands import Result, run_command
from smithers_nb.workflows.smithering.landing.evidence import WORK, Evidence, build_folder, missing
from smithers_nb.workflows.smithering.landing.git import git
from smithers_nb.workflows.smithering.results.plan import BackpressureGate, GateType
from smithers_nb.workflows.smithering.results.shown import Shown

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from smithers_nb.present.html.markup import Card
    from smithers_nb.workflows.smithering.results.plan import Backpressure
    from smithers_nb.workflows.smithering.results.spec import Prd
    from smithers_nb.workflows.smithering.tickets import Ticket

Verdict = Literal["proved", "red", "NO EVIDENCE"]

NO_EVIDENCE: Final = "NO EVIDENCE"
_JUDGED: Final = {"agent_review", "approval", "manual_check"}
"""Methods by which somebody looks; what they say is an opinion, so the criterion stays open for whoever decides about the delivery."""

_WORD: Final = re.compile(r"[a-z0-9]{3,}")
_EMPTY_WORDS: Final = frozenset(
    {"the", "and", "for", "that", "with", "are", "not", "has", "have", "was", "were", "can", "will", "must", "its", "all", "any", "each"}
    | {"from", "when", "then", "than", "into", "this"}
)
_SHARED: Final = 0.6
_LEAST: Final = 2


class Clause(Shown):
    """One criterion and what proves it."""

    criterion_id: str = described("REQ-n.m")
    criterion: str = described("what must hold")
    verdict: Verdict = described("proved, red, or NO EVIDENCE")
    gate_type: GateType = described("whether it blocks", default="blocking")
    method: str = described("how it is verified", default="")
    command: str = described("the command that decides", default="")
    log: str = described("what the command said on the delivered commit", default="")
    commit: str = described("land commit of the ticket that made it hold", default="")
    ticket_id: str = described("that ticket", default="")
    because: str = described("why it is not proved, or what weakens the proof", default="")


class Claim(Shown):
    """What a worker said about its ticket, beside what its commands said when we ran them."""

    ticket_id: str
    claim: str
    checked: str = described("green, red, infra, or not checked")


class Proof(Shown):
    """The table of all criteria for one commit."""

    commit: str = described("commit that the commands were run on")
    clauses: tuple[Clause, ...] = ()
    claims: tuple[Claim, ...] = ()
    blocking: tuple[str, ...] = described("what keeps it from being delivered, a sentence each", default=())
    known_issues: tuple[str, ...] = described("what workers admit does not work", default=())
    open_points: tuple[str, ...] = described("criteria that only somebody who looks can judge", default=())
    summary: str = ""

    @property
    def deliverable(self) -> bool:
        """Whether nothing keeps it from being delivered."""
        return not self.blocking

    def card(self) -> Card:
        """Lay the table out for a person."""
        from smithers_nb.workflows.smithering.delivery.proof_views import proof_card

        return proof_card(self)


class _Check(NamedTuple):
    """A command that decides about a criterion, and the ticket that brought it; none for one of the criteria's own."""

    command: str
    ticket: Ticket | None


def prove(  # noqa: PLR0913  # all but three are options by name
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
    timeout_s: float = 1_800.0,
    environment: Collection[str] = (),
) -> Proof:
    """Run every command that decides about a criterion on one commit, and say what is proved.

    Args:
        spec: The requirements; a criterion of theirs that no gate verifies has no evidence.
        gates: The criteria, each with its verification.
        tickets: What was to be built.
        landed: Ticket to land commit.
        checkout: Folder that may be made to hold the commit and nothing else.
        commit: What would be delivered.
        folder: Where the logs of the commands go.
        artifacts: Folder of artifacts, with the evidence of the build.
        run_id: The run that built it.
        timeout_s: Seconds that one command may take.
        environment: Variables that commands may see beyond what programs need to run.

    Raises:
        GitFailed: The commit cannot be shown in the checkout.
    """
    given = list(tickets)
    evidence = {ticket.id: Evidence(build_folder(artifacts, run_id), ticket.id) for ticket in given}
    bench = _Bench(checkout, commit, folder, timeout_s, environment)
    clauses = tuple(_clause(gate, list(_checks(gate, given)), bench, landed, evidence) for gate in _every_gate(spec, gates))
    own = {ticket.id: [bench.run(command, name)[0] for name, command in ticket.commands()] for ticket in given}
    said = {name: _said(each) for name, each in evidence.items()}
    claims = tuple(
        Claim(ticket_id=name, claim=claim, checked=_checked(own[name])) for name, work in said.items() for claim in work["claims"]
    )
    blocking = (
        *_unproved(clauses),
        *_admitted(clauses, said),
        *(f"{each.ticket_id} claims {each.claim!r}, but its commands are red" for each in claims if each.checked == "red"),
        *_incomplete(given, evidence, landed),
    )
    opened = tuple(f"{each.criterion_id}: {each.because}" for each in clauses if each.verdict == NO_EVIDENCE and each.method in _JUDGED)
    proved = sum(each.verdict == "proved" for each in clauses)
    return Proof(
        commit=commit,
        clauses=clauses,
        claims=claims,
        blocking=tuple(dict.fromkeys(blocking)),
        known_issues=tuple(f"{name}: {redact(issue)}" for name, work in said.items() for issue in work["issues"]),
        open_points=opened,
        summary=f"{proved} of {len(clauses)} criteria are proved by commands on {commit[:12]}",
    )


class _Bench:
    """Runs commands on one commit, each once."""

    def __init__(self, checkout: Path, commit: str, folder: Path, timeout_s: float, environment: Collection[str]) -> None:
        self.commit = commit
        self._checkout, self._folder, self._timeout_s, self._environment = checkout, folder, timeout_s, environment
        self._ran: dict[str, tuple[Result, Path]] = {}

    def run(self, command: str, name: str) -> tuple[Result, Path]:
        """Run a command in a clean checkout, again when it failed for a reason outside of the code."""
        if command not in self._ran:
            log = self._folder / f"{len(self._ran) + 1:03d}-{safe_name(name)}.log"
            for _ in range(2):
                git(self._checkout, "checkout", "--quiet", "--force", "--detach", self.commit)
                git(self._checkout, "clean", "-ffdxq")
                result = run_command(command, self._checkout, log, timeout_s=self._timeout_s, names=self._environment)
                if result.status != "infra":
                    break
            self._ran[command] = (result, log)
        return self._ran[command]

    def rewritten(self, command: str, commit: str) -> str:
        """Say which files that a command names were there before a land commit and are other ones in it: whoever is judged wrote them."""
        if not commit:
            return ""
        changed = git(self._checkout, "diff", "--name-only", "--diff-filter=a", f"{commit}^", commit).splitlines()
        named = [name for name in changed if re.search(rf"(?<![\w/.-]){re.escape(name)}(?![\w/-])", command.replace("./", ""))]
        return f"{', '.join(named)}, which the command names, was changed by the same work" if named else ""


def _every_gate(spec: Prd, gates: Backpressure) -> Iterator[BackpressureGate]:
    """Return the gates, and one that nothing verifies for each criterion that was left out."""
    yield from gates.gates
    known = {gate.criterion_id for gate in gates.gates}
    for need in spec.requirements:
        for name, text in need.criteria:
            if name not in known:
                yield BackpressureGate(criterion_id=name, criterion=text)


def _clause(
    gate: BackpressureGate, checks: list[_Check], bench: _Bench, landed: Mapping[str, str], evidence: Mapping[str, Evidence]
) -> Clause:
    """Judge one criterion: it is proved when every command that decides about it is green."""
    about: dict[str, Any] = {
        "criterion_id": gate.criterion_id,
        "criterion": gate.criterion,
        "gate_type": gate.gate_type,
        "method": gate.verification_method,
    }
    if not checks:
        because = f"{gate.checked_by or 'somebody'} has to look" if gate.verification_method in _JUDGED else "no command decides about it"
        return Clause(**about, verdict="NO EVIDENCE", because=because)
    ran = [(check, *bench.run(check.command, gate.criterion_id)) for check in checks]
    # what is not green decides; red before what could not be run
    check, result, log = min(ran, key=lambda each: ("red", "infra", "green").index(each[1].status))
    ticket = check.ticket or next((each.ticket for each, *_ in ran if each.ticket), None)
    name = ticket.id if ticket else ""
    proved = result.status == "green"
    return Clause(
        **about,
        verdict="proved" if proved else "red" if result.status == "red" else "NO EVIDENCE",
        command=redact(result.command),
        log=str(log),
        commit=landed.get(name, "") if name else bench.commit,
        ticket_id=name,
        because=_weakness(gate.criterion_id, name, landed, evidence) or bench.rewritten(result.command, landed.get(name, ""))
        if proved
        else result.why,
    )


def _weakness(criterion_id: str, ticket_id: str, landed: Mapping[str, str], evidence: Mapping[str, Evidence]) -> str:
    """Say that a green command shows nothing new, when it does not."""
    if not ticket_id:
        return ""
    if ticket_id not in landed:
        return f"{ticket_id} has not landed; the command is green without it"
    log = evidence[ticket_id].red_log(criterion_id)
    green = log.is_file() and "\n[green: " in log.read_text("utf-8", "replace")
    return "the command was green before the work as well" if green else ""


def contradicts(issue: str, clause: Clause) -> bool:
    """Return whether an issue that a worker admits is about a criterion: it names it, or most of the criterion's words are in it."""
    requirement = clause.criterion_id.partition(".")[0]
    if re.search(rf"\b{re.escape(clause.criterion_id)}(?![\w.]*\d)|\b{re.escape(requirement)}(?![\w.]*\d)", issue):
        return True
    words, said = _words(clause.criterion), _words(issue)
    shared = words & said
    return len(shared) >= _LEAST and len(shared) >= _SHARED * len(words)


def _checks(gate: BackpressureGate, tickets: list[Ticket]) -> Iterator[_Check]:
    seen: set[str] = set()
    for ticket in tickets:
        for name, command in ticket.commands():
            if name == gate.criterion_id and command not in seen:
                seen.add(command)
                yield _Check(command, ticket)
    if gate.checked_by and gate.verification_method not in _JUDGED and gate.checked_by not in seen:
        yield _Check(gate.checked_by, None)


def _words(text: str) -> set[str]:
    """Return the words that carry meaning, without the endings of plural and tense."""
    return {re.sub(r"(?:ing|ed|es|s)$", "", word) or word for word in _WORD.findall(text.lower()) if word not in _EMPTY_WORDS}


def _said(evidence: Evidence) -> dict[str, list[str]]:
    """Return what a worker claims and admits; nothing when that is not there or is malformed."""
    work = evidence.read(WORK)
    found = work if isinstance(work, dict) else {}
    return {
        ours: [str(each) for each in found[theirs]] if isinstance(found.get(theirs), list) else []
        for ours, theirs in (("claims", "claims"), ("issues", "knownIssues"))
    }


def _checked(results: list[Result]) -> str:
    told = [result.status for result in results]
    return next((status for status in ("red", "infra", "green") if status in told), "not checked")


def _unproved(clauses: tuple[Clause, ...]) -> Iterator[str]:
    for each in clauses:
        if each.gate_type == "blocking" and (each.verdict == "red" or (each.verdict == NO_EVIDENCE and each.method not in _JUDGED)):
            yield f"{each.criterion_id} is not proved ({each.verdict}): {each.because}"


def _admitted(clauses: tuple[Clause, ...], said: dict[str, dict[str, list[str]]]) -> Iterator[str]:
    for name, work in said.items():
        for issue in work["issues"]:
            for each in clauses:
                if contradicts(issue, each):
                    yield f"{name} admits {issue!r}, which contradicts {each.criterion_id}: {each.criterion}"


def _incomplete(tickets: list[Ticket], evidence: dict[str, Evidence], landed: Mapping[str, str]) -> Iterator[str]:
    for ticket in tickets:
        lacking = missing(evidence[ticket.id].folder, safety=ticket.safety) if ticket.id in landed else []
        if lacking:
            yield f"the evidence of {ticket.id} is incomplete: {', '.join(lacking)}"
