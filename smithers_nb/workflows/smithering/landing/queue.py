"""The merge queue: one ticket at a time is put on the tip, verified there, and landed by moving the integration branch to that very commit.

A verdict belongs to a commit and its parent. When the tip has moved meanwhile, the commit is made anew and verified anew; only a policy
that says so keeps the verdict of an equal change. A red command is the ticket's own fault unless it is red on the tip too and was not meant
to be: then the tip is to blame and nobody loses an attempt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from smithers_nb.errors import SmitheringError
from smithers_nb.workflows.smithering.landing.candidates import Candidate, Unlandable, make_candidate
from smithers_nb.workflows.smithering.landing.commands import Result, run_command
from smithers_nb.workflows.smithering.landing.evidence import CHALLENGE, DIFF, GATES, PLAN, REVIEW, VERIFY, Evidence, missing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from smithers_nb.workflows.smithering.landing.worktrees import Worktrees
    from smithers_nb.workflows.smithering.tickets import Ticket

Kind = Literal["landed", "conflict", "red", "inherited", "infra", "refused", "challenge"]

VERIFIER: Final = "commands run by smithers-nb"
_QUOTED: Final = 3_000
_ALWAYS: Final = "always-"
_LANDED: Final = "landed."
"""What the ids of gates begin with that are not the ticket's own: the policy's, and those of tickets that have landed."""


@dataclass(frozen=True)
class Policy:
    """How tickets land.

    Attributes:
        attempts: How often a worker may try one ticket.
        infra_retries: How often a command that failed for a reason outside of the code is repeated.
        timeout_s: Seconds that one command may take.
        always: Commands that every land commit must pass, whatever the ticket's own are.
        environment: Variables that commands may see beyond what programs need to run.
        regressions: Every land commit must also pass the commands of what has landed before it, so that no ticket breaks another.
        keep_verdict: Keep the verdict of a change that is equal on the new tip; tickets are then verified before they queue, in parallel.
        batch: How many tickets may be verified together while verification is slower than tickets arrive; 1 is off.
        require_review: A review that did not approve keeps a ticket from landing; otherwise it is advice.
    """

    attempts: int = 4
    infra_retries: int = 2
    timeout_s: float = 1_800.0
    always: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    regressions: bool = True
    keep_verdict: bool = False
    batch: int = 1
    require_review: bool = False


class Verdict(NamedTuple):
    """What the commands said about one commit.

    Attributes:
        candidate: The commit.
        gates: Each command that was run, with the id of its criterion.
        kind: `landed` when it may land, else why not.
        feedback: For whoever is to repair it; empty when it may land.
    """

    candidate: Candidate
    gates: tuple[tuple[str, Result], ...]
    kind: Kind
    feedback: str = ""


class Outcome(NamedTuple):
    """How a ticket left the queue.

    Attributes:
        kind: What happened; only `red`, `conflict` and `refused` are the worker's to repair.
        detail: In words.
        commit: The land commit; empty unless it landed.
    """

    kind: Kind
    detail: str
    commit: str = ""


class Lander:
    """Lands tickets of one run, one after another; `land` is called by one thread at a time.

    Attributes:
        trees: Branches and worktrees of the run.
        policy: How tickets land.
    """

    def __init__(
        self, trees: Worktrees, run_id: str, policy: Policy, evidence_of: Callable[[str], Evidence], tickets: Mapping[str, Ticket]
    ) -> None:
        self.trees = trees
        self.policy = policy
        self._run_id = run_id
        self._evidence_of = evidence_of
        self._tickets = tickets
        self._expected = trees.tip()
        self._landed = trees.landed()
        self._start, self._landed_before = self._expected, len(self._landed)
        self._on_tip: dict[tuple[str, str], Result] = {}

    def run_red_first(self, ticket: Ticket, commit: str, checkout: str) -> None:
        """Run a ticket's commands on the commit that it starts from, once in a run, so that the evidence shows what the work changed."""
        evidence = self._evidence_of(ticket.id)
        path: Path | None = None
        for criterion_id, command in self._gates(ticket):
            log = evidence.red_log(criterion_id)
            if not log.exists():
                if path is None:
                    path = self.trees.checkout(checkout)
                    self.trees.show(path, commit)
                self._run(command, path, log)

    def candidate(self, ticket: Ticket, source: str, base: str | None = None) -> Candidate | Unlandable:
        """Make the commit that a ticket would land as on a commit, by default the present tip."""
        return make_candidate(self.trees.repo, ticket, self._run_id, base or self.trees.tip(), source)

    def verify(self, ticket: Ticket, candidate: Candidate, checkout: str, *, tested: Candidate | None = None) -> Verdict:
        """Run everything that decides about a ticket on exactly one commit and write down what it said.

        Args:
            ticket: The ticket.
            candidate: What it would land as.
            checkout: Folder for verifications that is used.
            tested: The commit that is tested, when that is the top of a stack with the candidate in it.
        """
        evidence = self._evidence_of(ticket.id)
        path = self.trees.checkout(checkout)
        self.trees.show(path, (tested or candidate).head)
        gates: list[tuple[str, Result]] = []
        for criterion_id, command in [*self._gates(ticket), *self._regressions(ticket, candidate.base)]:
            gates.append((criterion_id, self._run(command, path, evidence.green_log(criterion_id))))
            if gates[-1][1].status != "green":
                break
        verdict = Verdict(tested or candidate, tuple(gates), *self._judged(gates, evidence, candidate, path))
        evidence.write(DIFF, candidate.diff)
        if not (evidence.folder / PLAN).exists():
            evidence.write(PLAN, f"# {ticket.title}\n\n{ticket.instructions}\n")
        evidence.write(GATES, [self._gate_row(evidence, *gate) for gate in gates if not gate[0].startswith(_LANDED)])
        evidence.write(VERIFY, _verify_row(verdict, evidence, candidate))
        return verdict

    def land(self, ticket: Ticket, source: str, verdict: Verdict | None = None) -> Outcome:
        """Put a ticket on the tip, verify it there and land it.

        Args:
            ticket: The ticket.
            source: Commit of its branch.
            verdict: What was said about it before it queued; used only for the very commit, or for an equal change if the policy says so.

        Raises:
            SmitheringError: Somebody else moved the integration branch.
        """
        self.check_tip()
        if ticket.id in self._landed:
            return Outcome("landed", "had landed already", self._landed[ticket.id])
        candidate = self.candidate(ticket, source, self._expected)
        if isinstance(candidate, Unlandable):
            return Outcome(candidate.kind, candidate.message)
        if verdict is not None and (verdict.candidate.base, verdict.candidate.source) == (candidate.base, source):
            candidate = verdict.candidate  # the very commit that was tested
        elif verdict is None or not self.policy.keep_verdict or verdict.candidate.patch != candidate.patch:
            verdict = self.verify(ticket, candidate, "landing")
        else:
            self._evidence_of(ticket.id).write(VERIFY, _verify_row(verdict, self._evidence_of(ticket.id), candidate))
        if verdict.kind != "landed":
            return Outcome(verdict.kind, verdict.feedback)
        unproven = self._unproven(ticket, candidate)
        if unproven is not None:
            return unproven
        self._move([(ticket, candidate)])
        return Outcome("landed", f"landed as {candidate.head[:12]}", candidate.head)

    def land_many(self, entries: list[tuple[Ticket, str, Verdict | None]]) -> dict[str, Outcome]:
        """Land several tickets with one verification of all of them on top of each other; when that is red, halves are tried.

        The commit that becomes the tip is the one that was tested. A ticket that cannot be put on the stack, or lacks a proof of its own,
        leaves through `land`.

        Raises:
            SmitheringError: Somebody else moved the integration branch.
        """
        stack = self._stacked(entries) if len(entries) > 1 else []
        if len(stack) != len(entries) or not self._all_green(stack):
            if len(entries) == 1:
                ticket, source, verdict = entries[0]
                return {ticket.id: self.land(ticket, source, verdict)}
            half = len(entries) // 2
            return self.land_many(entries[:half]) | self.land_many(entries[half:])
        top = stack[-1][1].head
        self._move(stack)
        detail = f"verified together with {len(stack) - 1} other(s) as {top[:12]}"
        return {ticket.id: Outcome("landed", detail, candidate.head) for ticket, candidate in stack}

    def _stacked(self, entries: list[tuple[Ticket, str, Verdict | None]]) -> list[tuple[Ticket, Candidate]]:
        """Put tickets on top of each other as far as that goes."""
        self.check_tip()
        stack: list[tuple[Ticket, Candidate]] = []
        base = self._expected
        for ticket, source, _ in entries:
            made = None if ticket.id in self._landed else self.candidate(ticket, source, base)
            if not isinstance(made, Candidate):
                break
            stack.append((ticket, made))
            base = made.head
        return stack

    def _all_green(self, stack: list[tuple[Ticket, Candidate]]) -> bool:
        """Verify the top of a stack with the commands of everything in it."""
        top = stack[-1][1]
        for ticket, candidate in stack:
            verdict = self.verify(ticket, candidate, "landing", tested=top)
            if verdict.kind != "landed" or self._unproven(ticket, candidate):
                return False
        return True

    def _move(self, stack: list[tuple[Ticket, Candidate]]) -> None:
        """Move the integration branch to the top of a stack."""
        top = stack[-1][1].head
        if not self.trees.advance(top, stack[0][1].base):
            self.check_tip()
            said = f"the integration branch {self.trees.integration} cannot be moved"
            raise SmitheringError(said, hint="remove a stale lock in .git/refs")
        self._expected = top
        self._landed |= {ticket.id: candidate.head for ticket, candidate in stack}

    def check_tip(self) -> str:
        """Make sure that the integration branch has what landed and nothing else, and return where it is.

        Raises:
            SmitheringError: Somebody else moved it.
        """
        tip = self.trees.tip()
        if tip != self._expected:
            raise SmitheringError(
                f"somebody else moved the integration branch {self.trees.integration} from {self._expected[:12]} to {tip[:12]}",
                hint=f"look at it with `git log {self._expected[:12]}..{tip[:12]}`; resuming the run takes it as it is then",
            )
        return tip

    def _unproven(self, ticket: Ticket, candidate: Candidate) -> Outcome | None:
        """Say what a ticket lacks to land although its commands are green."""
        evidence = self._evidence_of(ticket.id)
        if ticket.safety:
            challenge = evidence.read(CHALLENGE) or {}
            if challenge.get("patchId") != candidate.patch:
                return Outcome("challenge", "the change is not the one that was challenged")
        if self.policy.require_review and (evidence.read(REVIEW) or {}).get("approved") is not True:
            return Outcome("refused", f"the review did not approve: {(evidence.read(REVIEW) or {}).get('reasons') or 'no reason given'}")
        lacking = missing(evidence.folder, safety=ticket.safety)
        return Outcome("refused", f"evidence is missing: {', '.join(lacking)}") if lacking else None

    def _gates(self, ticket: Ticket) -> list[tuple[str, str]]:
        return [*ticket.commands(), *((f"{_ALWAYS}{number}", command) for number, command in enumerate(self.policy.always, 1))]

    def _regressions(self, ticket: Ticket, base: str) -> list[tuple[str, str]]:
        """Return the commands of what is in a base that are not run for the ticket anyway."""
        if not self.policy.regressions:
            return []
        own = {command for _, command in self._gates(ticket)}
        landed = [self._tickets[name] for name in self._landed_up_to(base) if name in self._tickets and name != ticket.id]
        found = {command: f"{_LANDED}{criterion_id}" for other in landed for criterion_id, command in other.commands()}
        return [(criterion_id, command) for command, criterion_id in found.items() if command not in own]

    def _landed_up_to(self, base: str) -> list[str]:
        """Return what had landed when a commit was the tip; another thread may land further tickets meanwhile."""
        landed = list(self._landed.items())
        names = [name for name, _ in landed[: self._landed_before]]
        for name, commit in landed[self._landed_before :] if base != self._start else []:
            names.append(name)
            if commit == base:
                break
        return names

    def _run(self, command: str, path: Path, log: Path | None) -> Result:
        """Run a command, again when it failed for a reason outside of the code."""
        options = {"timeout_s": self.policy.timeout_s, "names": self.policy.environment}
        result = run_command(command, path, log, **options)  # type: ignore[arg-type]
        for _ in range(self.policy.infra_retries):
            if result.status != "infra":
                break
            result = run_command(command, path, log, **options)  # type: ignore[arg-type]
        return result

    def _judged(self, gates: list[tuple[str, Result]], evidence: Evidence, candidate: Candidate, path: Path) -> tuple[Kind, str]:
        if not gates:
            return "refused", "no command decides about it: give it a verification of the kind command"
        criterion_id, result = gates[-1]
        if result.status == "green":
            return "landed", ""
        said = f"`{result.command}` ({criterion_id}) on the commit that would land: {result.why}\n{result.output[-_QUOTED:]}".rstrip()
        if result.status == "infra":
            return "infra", said
        if self._should_be_green(criterion_id, evidence) and self._red_on(candidate.base, result.command, path):
            return "inherited", f"red on the tip {candidate.base[:12]} already: {said}"
        return "red", said

    def _should_be_green(self, criterion_id: str, evidence: Evidence) -> bool:
        """Return whether a command is expected to pass without the ticket: by policy, because its ticket landed, or as it did before."""
        log = evidence.red_log(criterion_id)
        return criterion_id.startswith((_ALWAYS, _LANDED)) or (log.exists() and "\n[green: " in log.read_text("utf-8", "replace"))

    def _red_on(self, tip: str, command: str, path: Path) -> bool:
        """Return whether a command fails on the tip itself, and does so twice."""
        key = (tip, command)
        if key not in self._on_tip:
            self.trees.show(path, tip)
            result = self._run(command, path, None)
            self._on_tip[key] = self._run(command, path, None) if result.status == "red" else result
        return self._on_tip[key].status == "red"

    @staticmethod
    def _gate_row(evidence: Evidence, criterion_id: str, result: Result) -> dict[str, Any]:
        return {
            "criterionId": criterion_id,
            "command": result.command,
            "redRunPath": str(evidence.red_log(criterion_id).relative_to(evidence.folder)),
            "greenRunPath": str(evidence.green_log(criterion_id).relative_to(evidence.folder)),
            "status": result.status,
        }


def _verify_row(verdict: Verdict, evidence: Evidence, landing: Candidate) -> dict[str, Any]:
    logs = [evidence.green_log(criterion_id) for criterion_id, _ in verdict.gates]
    return {
        "pass": verdict.kind == "landed",
        "model": VERIFIER,
        "head": landing.head,
        "rebasedTip": {"base": landing.base, "ok": True},
        "patchId": landing.patch,
        "verdictOf": {"head": verdict.candidate.head, "base": verdict.candidate.base},
        "gatesRun": [
            {"criterionId": criterion_id, "command": result.command, "status": result.status, "why": result.why, "seconds": result.seconds}
            for criterion_id, result in verdict.gates
        ],
        "evidenceChecked": [{"path": str(log.relative_to(evidence.folder)), "ok": log.is_file()} for log in logs],
        "infra": verdict.kind == "infra",
        "inherited": verdict.kind == "inherited",
        "feedback": verdict.feedback or None,
    }
