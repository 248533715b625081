"""What is proved is what commands say on the delivered commit; claims are no evidence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from smithers_nb.workflows.smithering.delivery.proof import Clause, Proof, contradicts, prove
from smithers_nb.workflows.smithering.landing.evidence import GATES, Evidence, build_folder
from smithers_nb.workflows.smithering.landing.queue import Policy
from smithers_nb.workflows.smithering.landing.worktrees import Worktrees
from smithers_nb.workflows.smithering.results.plan import Backpressure, BackpressureGate
from smithers_nb.workflows.smithering.results.spec import Prd, Requirement
from smithers_nb.workflows.smithering.tickets import Ticket, Verification
from smithers_nb.workflows.smithering.workforce.base import WorkDone, WorkOrder
from tests.workflows.smithering.conftest import run_git
from tests.workflows.smithering.hands import Hands, built


def criterion(name: str, text: str, **more: Any) -> BackpressureGate:
    return BackpressureGate(criterion_id=name, criterion=text, **more)


def ticket(name: str, criterion_id: str, command: str) -> Ticket:
    return Ticket(id=name, title=name, verification=(Verification(kind="command", details=command, criterion_id=criterion_id),))


def worker(**said: Any) -> Hands:
    """A worker that writes the file of its ticket and says something about it."""

    def deed(order: WorkOrder) -> WorkDone:
        (order.folder / f"{order.ticket.id}.txt").write_text("hello\n")
        return WorkDone(summary="done", **said)

    return Hands({"alpha": deed, "beta": deed})


ALPHA = ticket("alpha", "REQ-1.1", "grep hello alpha.txt")


def proof(repo: Path, *gates: BackpressureGate, tickets: tuple[Ticket, ...] = (ALPHA,), needs: tuple[Requirement, ...] = ()) -> Proof:
    trees = Worktrees(repo, "run-1", "main")
    trees.prepare()
    return prove(
        Prd(summary="", requirements=needs),
        Backpressure(gates=gates),
        tickets,
        landed=trees.landed(),
        checkout=trees.checkout("proof"),
        commit=trees.tip(),
        folder=repo.parent / "proof",
        artifacts=repo.parent / "artifacts",
        run_id="run-1",
        timeout_s=60,
    )


def test_a_criterion_is_proved_by_command_log_and_commit(repo: Path) -> None:
    """A green command on the tip names its log, which is real, and the land commit of its ticket."""
    result = built(repo, [ALPHA], worker())
    found = proof(repo, criterion("REQ-1.1", "alpha greets"))
    clause = found.clauses[0]
    assert (clause.verdict, clause.command, clause.commit) == ("proved", "grep hello alpha.txt", result.landed["alpha"])
    assert Path(clause.log).read_text().startswith("$ grep hello alpha.txt\nhello\n[green: exit 0")
    assert found.deliverable
    assert found.commit == result.tip


def test_a_proof_by_a_file_that_its_own_work_changed_says_so(repo: Path) -> None:
    """A worker that makes its check green by rewriting the check is not hidden: the clause names the file."""
    (repo / "check.sh").write_text("exit 1\n")
    run_git(repo, "add", "--all")
    run_git(repo, "commit", "--quiet", "--message", "A check")

    def cheat(order: WorkOrder) -> WorkDone:
        (order.folder / "check.sh").write_text("exit 0\n")
        return WorkDone(summary="done")

    checked = ticket("gamma", "REQ-1.1", "sh ./check.sh")
    built(repo, [checked], Hands({"gamma": cheat}))
    clause = proof(repo, criterion("REQ-1.1", "gamma holds"), tickets=(checked,)).clauses[0]
    assert (clause.verdict, clause.because) == ("proved", "check.sh, which the command names, was changed by the same work")


def test_without_a_command_there_is_no_evidence(repo: Path) -> None:
    """A criterion that nothing decides is NO EVIDENCE and blocks; one that somebody must look at stays open and does not."""
    built(repo, [ALPHA], worker())
    found = proof(
        repo,
        criterion("REQ-1.1", "alpha greets"),
        criterion("REQ-2.1", "bare"),
        criterion("REQ-2.2", "nice", verification_method="manual_check"),
    )
    assert [each.verdict for each in found.clauses] == ["proved", "NO EVIDENCE", "NO EVIDENCE"]
    assert found.blocking == ("REQ-2.1 is not proved (NO EVIDENCE): no command decides about it",)
    assert found.open_points == ("REQ-2.2: somebody has to look",)
    assert "NO EVIDENCE" in found.card().text
    assert "NO EVIDENCE" in found.card().html


def test_a_claim_of_green_is_checked_by_running_the_command(repo: Path) -> None:
    """A worker of a ticket that never landed claims that all is green; the commands are red, and that blocks."""
    beta = ticket("beta", "REQ-1.2", "grep absent beta.txt")
    built(repo, [ALPHA, beta], worker(claims=("all tests pass",)), policy=Policy(attempts=1, timeout_s=60))
    found = proof(repo, criterion("REQ-1.1", "alpha greets"), criterion("REQ-1.2", "beta is absent"), tickets=(ALPHA, beta))
    assert {each.ticket_id: each.checked for each in found.claims} == {"alpha": "green", "beta": "red"}
    assert found.clauses[1].verdict == "red"
    assert any(each.startswith("beta claims 'all tests pass'") for each in found.blocking)


@pytest.mark.parametrize("issue", ["REQ-1.1 is unfinished", "greetings of users by name are not done yet"])
def test_an_admitted_issue_blocks_although_the_command_is_green(repo: Path, issue: str) -> None:
    """What a worker says does not work is held against the criteria."""
    built(repo, [ALPHA], worker(known_issues=(issue,)))
    found = proof(repo, criterion("REQ-1.1", "greets users by name"))
    assert found.clauses[0].verdict == "proved"
    assert not found.deliverable
    assert "contradicts REQ-1.1" in found.blocking[0]


def test_an_issue_about_something_else_contradicts_nothing() -> None:
    """A longer id is another criterion, and one shared word is no contradiction."""
    clause = Clause(criterion_id="REQ-1.1", criterion="greets users by name", verdict="proved")
    assert not contradicts("REQ-1.10 is slow", clause)
    assert not contradicts("REQ-11 is slow", clause)
    assert not contradicts("the name of the log file is ugly", clause)


def test_a_command_that_was_green_before_says_so(repo: Path) -> None:
    """A command that passed without the work proves nothing new, and the table says it."""
    easy = ticket("alpha", "REQ-1.1", "test -f README.md")
    built(repo, [easy], worker())
    clause = proof(repo, criterion("REQ-1.1", "there is a README"), tickets=(easy,)).clauses[0]
    assert clause.because == "the command was green before the work as well"


def test_evidence_that_was_taken_away_blocks(repo: Path) -> None:
    """A landed ticket whose evidence is not there any more cannot be delivered."""
    built(repo, [ALPHA], worker())
    (Evidence(build_folder(repo.parent / "artifacts", "run-1"), "alpha").folder / GATES).unlink()
    assert proof(repo, criterion("REQ-1.1", "alpha greets")).blocking == (
        "the evidence of alpha is incomplete: gates.json with at least one gate",
    )


def test_a_criterion_that_was_left_out_has_no_evidence(repo: Path) -> None:
    """A criterion of the spec that nobody verifies is in the table all the same, and blocks."""
    built(repo, [ALPHA], worker())
    need = Requirement(id="REQ-3", title="more", acceptance_criteria=("it sings",))
    found = proof(repo, criterion("REQ-1.1", "alpha greets"), needs=(need,))
    assert (found.clauses[1].criterion, found.clauses[1].verdict) == ("it sings", "NO EVIDENCE")
    assert not found.deliverable
