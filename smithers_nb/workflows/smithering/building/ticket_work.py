"""One attempt at one ticket: a worktree with the newest tip in it, a worker, and what is checked before the result may queue.

What a worker says is written down as its claim. What counts is what its branch holds: work without a change, outside of the worktree or by
a worker that failed is a failed attempt with a reason.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from smithers_nb.errors import BudgetSpent, GitFailed, SmitheringError, SmithersNbError
from smithers_nb.model.finding import Finding, described
from smithers_nb.private_folder import PrivateFolder
from smithers_nb.redact import redact
from smithers_nb.workflows.smithering.building.scheduler import Order, Worked
from smithers_nb.workflows.smithering.landing.candidates import Candidate
from smithers_nb.workflows.smithering.landing.evidence import CHALLENGE, PLAN, REVIEW, WORK, Evidence
from smithers_nb.workflows.smithering.landing.git_trace import WorkerGit
from smithers_nb.workflows.smithering.landing.guard import guarded
from smithers_nb.workflows.smithering.workforce.base import WorkDone, WorkOrder, WorkRequest, answer_as

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from smithers_nb.workflows.smithering.landing.queue import Lander, Policy, Verdict
    from smithers_nb.workflows.smithering.tickets import Ticket
    from smithers_nb.workflows.smithering.workforce.base import Workforce

_CONFLICT: Final = "Both sides of a conflict stand between markers in: {}. Resolve them; the other side has landed already."


class ReviewPoint(Finding):
    """Something that a reviewer found."""

    severity: str = described("critical, major, minor or nit", default="minor")
    title: str = described("in a few words")
    detail: str = described("what is wrong, and what to do", default="")
    file: str = described("where", default="")


class Review(Finding):
    """What a reviewer says about a change; advice, unless the policy asks for it."""

    approved: bool = described("whether the change may land as it is", default=False)
    findings: tuple[ReviewPoint, ...] = described("what was found", default=())
    reasons: str = described("why", default="")


class Attack(Finding):
    """One way in which somebody tried to break a change."""

    vector: str = described("what was tried")
    result: str = described("blocked, or SUCCEEDED")
    detail: str = described("what happened", default="")


class Challenge(Finding):
    """What an adversary says about a change that safety depends on; not approved unless it says so."""

    approved: bool = described("true only when every attack was blocked", default=False)
    attacks: tuple[Attack, ...] = described("what was tried", default=())
    reasons: str = described("why", default="")


class Made(NamedTuple):
    """What an attempt came to.

    Attributes:
        source: Commit of the ticket's branch.
        attempt: Which attempt, from 1.
        verdict: What was said about it before it queued; None unless the policy asks for that.
    """

    source: str
    attempt: int
    verdict: Verdict | None = None


class TicketWork:
    """Works on tickets of one run, in several threads at once."""

    def __init__(  # noqa: PLR0913  # what a worker needs to know
        self,
        lander: Lander,
        workforce: Workforce,
        *,
        run_id: str,
        policy: Policy,
        evidence_of: Callable[[str], Evidence],
        parallel: int,
    ) -> None:
        self._lander, self._trees = lander, lander.trees
        self._workforce, self._run_id, self._policy = workforce, run_id, policy
        self._evidence_of = evidence_of
        self._checkouts: queue.SimpleQueue[str] = queue.SimpleQueue()
        for number in range(parallel):
            self._checkouts.put(f"verify-{number}")

    def __call__(self, order: Order) -> Worked:
        """Make one attempt.

        Returns:
            Its result, whose value is a `Made`. A worker that fails or oversteps has failed; git that fails, or a budget that leaves nobody
            to work, is no fault of the worker.
        """
        evidence = self._evidence_of(order.ticket.id)
        with self._checkout() as checkout:
            try:
                return self._again(order, evidence) if order.again else self._attempt(order, evidence, checkout)
            except GitFailed as error:
                return Worked("infra", str(error))
            except BudgetSpent as error:
                return Worked("waiting-human", f"{error}; {error.hint}", code="budget_spent")

    def _attempt(self, order: Order, evidence: Evidence, checkout: str) -> Worked:
        ticket = order.ticket
        evidence.forget_conclusions()
        tip = self._trees.tip()
        path = self._trees.open(ticket.id, tip)
        self._lander.run_red_first(ticket, tip, checkout)
        conflicts = self._trees.bring_up_to_date(path, tip)
        feedback = "\n\n".join(part for part in (order.feedback, _CONFLICT.format(", ".join(conflicts)) if conflicts else "") if part)
        failed = self._implement(ticket, path, order.attempt, feedback, evidence)
        if failed:
            return self._failed(order, evidence, failed)
        self._trees.commit_rest(path, f"{' '.join(redact(ticket.title).split())}\n\nCommitted for the worker in attempt {order.attempt}.")
        source = self._trees.head(ticket.id) or ""
        self._reviewed(ticket, path, {"base": tip, "head": source}, evidence)
        if not ticket.safety and not self._policy.keep_verdict:
            return Worked("done", value=Made(source, order.attempt))
        candidate = self._lander.candidate(ticket, source)
        if not isinstance(candidate, Candidate):
            code = "merge_conflict" if candidate.kind == "conflict" else "shipped_without_commit"
            return self._failed(order, evidence, Worked("failed", candidate.message, code=code))
        refusal = self._challenged(ticket, path, candidate, evidence)
        if refusal:
            return self._failed(order, evidence, refusal)
        verdict = self._lander.verify(ticket, candidate, checkout) if self._policy.keep_verdict else None
        if verdict is not None and verdict.kind == "red":
            return self._failed(order, evidence, Worked("failed", verdict.feedback))
        return Worked("done", value=Made(source, order.attempt, verdict))

    def _again(self, order: Order, evidence: Evidence) -> Worked:
        """Repeat the challenge of a change that is another one on the new tip."""
        candidate = self._lander.candidate(order.ticket, order.again.source)
        if isinstance(candidate, Candidate):
            refusal = self._challenged(order.ticket, self._trees.open(order.ticket.id, candidate.base), candidate, evidence)
            if refusal:
                return self._failed(order, evidence, refusal)
        return Worked("done", value=order.again)

    def _implement(self, ticket: Ticket, path: Path, attempt: int, feedback: str, evidence: Evidence) -> Worked | None:
        """Let the worker work, and return why that failed; None when it did not."""
        before = guarded(self._trees)
        with PrivateFolder() as traces:
            trace = traces / "git.jsonl"
            done, problem = self._called(
                WorkOrder(ticket=ticket, folder=path, run_id=self._run_id, attempt=attempt, feedback=feedback, trace=trace)
            )
            outside = self._trees.left_behind(before, path, ticket.id, WorkerGit.read(trace))
        if outside.by_worker:
            return Worked("failed", f"the worker left its worktree: {redact(outside.by_worker)}", code="left_worktree")
        if done is None:
            return Worked("failed", problem, code="agent_crashed")
        if done.missing_credentials:
            return Worked("needs-credential", f"it needs {', '.join(done.missing_credentials)}", code="credential_missing")
        if done.needs_person:
            return Worked("waiting-human", done.needs_person, code="person_needed")
        evidence.write(PLAN, f"# {ticket.title}\n\n{done.plan or done.summary or ticket.instructions}\n")
        beside = f"while it was worked on, by whomever, and left as it is: {redact(outside.by_anyone)}" if outside.by_anyone else ""
        evidence.write(WORK, done.as_json() | {"attempt": attempt} | ({"meanwhile": beside} if beside else {}))
        return None

    def _called(self, order: WorkOrder) -> tuple[WorkDone | None, str]:
        """Call the worker, and return what it says it did, or what went wrong."""
        try:
            done: Any = self._workforce.implement(order)
        except BudgetSpent:
            raise
        except SmithersNbError as error:
            return None, f"the worker failed: {redact(str(error))}"
        except Exception as error:  # noqa: BLE001  # a worker is somebody else's program: whatever it raises ends its attempt, not the build
            return None, f"the worker failed: {type(error).__name__}: {redact(str(error))[:500]}"
        if isinstance(done, WorkDone):
            return done, ""
        return None, f"the worker answered with {type(done).__name__} instead of what it did"

    def _reviewed(self, ticket: Ticket, path: Path, commits: dict[str, str], evidence: Evidence) -> None:
        """Ask for a review, by another model family than the builder's where there is one."""
        asked = "; ".join(check.details for check in ticket.verification if check.kind == "agent-review")
        words = f"Review the change of {ticket.id} between base and head. {asked}".rstrip()
        evidence.write(REVIEW, self._asked(Review, f"review:{ticket.id}", words, ticket, path, commits))

    def _challenged(self, ticket: Ticket, path: Path, candidate: Candidate, evidence: Evidence) -> Worked | None:
        if not ticket.safety:
            return None
        words = f"Try to break the change of {ticket.id}. Approve it only when every attack was blocked."
        told = self._asked(Challenge, f"challenge:{ticket.id}", words, ticket, path, {"base": candidate.base, "head": candidate.head})
        evidence.write(CHALLENGE, told | {"patchId": candidate.patch})
        return None if told["approved"] is True else Worked("failed", f"the challenge was not passed: {told['reasons'] or told['attacks']}")

    def _asked(  # noqa: PLR0913, PLR0917  # what is asked about what
        self, kind: type[Review | Challenge], stage: str, words: str, ticket: Ticket, path: Path, commits: dict[str, str]
    ) -> dict[str, Any]:
        family = (self._workforce.families or ("",))[-1]
        context = {"ticket": ticket.as_json(), **commits}
        try:
            told = answer_as(
                self._workforce, kind, WorkRequest(stage=stage, instructions=words, context=context, folder=path, family=family)
            )
        except SmitheringError as error:
            if kind is Challenge and isinstance(error, BudgetSpent):
                raise  # a review is advice; what nobody could challenge waits
            told = kind(reasons=f"nobody answered: {redact(str(error))}")
        return told.as_json() | {"model": family or self._workforce.name} | commits

    def _failed(self, order: Order, evidence: Evidence, worked: Worked) -> Worked:
        in_vain = False if worked.kind == "failed" else None  # whoever stops for want of something has used up no attempt
        evidence.capture(order.attempt, {"pass": in_vain, "feedback": worked.detail, "kind": worked.code})
        return worked

    @contextmanager
    def _checkout(self) -> Iterator[str]:
        name = self._checkouts.get()
        try:
            yield name
        finally:
            self._checkouts.put(name)
