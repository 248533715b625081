"""Every way in which a request ends before its delivery: one final report row, at a node of its own.

The stages run in this process, with real git and a real answer book; only what is kept between executions is kept in memory, and gates are
decided by the test.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from smithers_nb.engine.location import Location
from smithers_nb.workflows.smithering import stages
from smithers_nb.workflows.smithering.building.build import build
from smithers_nb.workflows.smithering.parameters import SmitheringParameters, workforce_of
from smithers_nb.workflows.smithering.results.delivery import Delivery, FinalReport
from smithers_nb.workflows.smithering.results.launch import BuildSummary, Launch, Scaffold
from smithers_nb.workflows.smithering.results.plan import Tickets
from smithers_nb.workflows.smithering.work import Work
from tests.workflows.smithering.conftest import run_git
from tests.workflows.smithering.pipeline import book


class InMemory(Work):
    """A request whose rows are kept in this process, and whose gates are passed unless they are denied."""

    denied: str
    log: list[str]
    shown: dict[str, dict[str, Any]]

    def stage(self, node_id: str, kind: type[Any], step: Callable[[], Any], *, iteration: int = 0) -> Any:
        del kind, iteration
        self.log.append(node_id)
        self.rows[node_id] = step()
        return self.rows[node_id]

    def gate(self, node_id: str, title: str, summary: str, details: dict[str, Any]) -> bool:
        del title, summary
        self.log.append(node_id)
        self.shown[node_id] = details
        return node_id != self.denied


@pytest.fixture
def request_of(repo: Path) -> Callable[..., InMemory]:
    """Return a function that makes a request of a book."""

    def made(content: dict[str, Any], denied: str = "", **given: Any) -> InMemory:
        path = repo.parent / "book.yaml"
        path.write_text(yaml.safe_dump(content))
        options = {"prompt": "Greet", "route": "full-build", "provider": "scripted", "smoke_test": False, **given}
        parameters = SmitheringParameters(repo=str(repo), book=str(path), **options)
        folder = repo / "artifacts" / "smithering" / "r1"
        work = InMemory(parameters, "r1", Location.of(str(repo)), workforce_of(parameters, folder), folder)
        work.log, work.shown, work.denied = [], {}, denied
        return work

    return made


def plan(work: InMemory) -> None:
    """Take every stage before the launch."""
    stages.setup(work)
    stages.tier(work)
    stages.preflight(work)
    stages.intake(work)
    stages.brainstorm(work)
    stages.research(work, "domain", "prior-art")
    stages.questions(work)
    for stage in (stages.prd, stages.design, stages.engineering, stages.backpressure, stages.probes, stages.tickets):
        stage(work)
    for stage in (stages.poc, stages.orchestrate, stages.validate, stages.launching):
        stage(work)


def test_what_we_write_is_no_change_of_the_project_from_the_first_stage_on(request_of: Callable[..., InMemory]) -> None:
    """Before anything is planned, git already ignores the journal and the artifacts, also while the first question waits."""
    work = request_of(book())
    (work.repo / ".smithers_nb").mkdir(exist_ok=True)
    (work.repo / ".smithers_nb" / "journal.db").touch()
    stages.setup(work)
    assert run_git(work.repo, "status", "--porcelain") == ""


def test_what_the_project_keeps_in_folders_of_our_names_is_seen(request_of: Callable[..., InMemory]) -> None:
    """Where a project has files of its own in `artifacts` and `.smithers_nb`, a new one there is a change, and what is ours is none."""
    work = request_of(book())
    for name in (".smithers_nb/workflows/mine.ipynb", "artifacts/mine.txt"):
        (work.repo / name).parent.mkdir(parents=True, exist_ok=True)
        (work.repo / name).touch()
    run_git(work.repo, "add", "--force", "--all")
    run_git(work.repo, "commit", "--quiet", "--message", "Mine")
    stages.setup(work)
    for name in ("workflows/new.ipynb", "journal.db", "logs/worker.log", "runs/r1/x.ipynb", "worktrees/r1/x"):
        (work.repo / ".smithers_nb" / name).parent.mkdir(parents=True, exist_ok=True)
        (work.repo / ".smithers_nb" / name).touch()
    assert run_git(work.repo, "status", "--porcelain", "--untracked-files=all") == "?? .smithers_nb/workflows/new.ipynb"


@pytest.mark.parametrize("name", ["prd", "eng", "launch"])
def test_a_denied_gate_ends_at_its_own_node(request_of: Callable[..., InMemory], name: str) -> None:
    """A denial gives one final report at `cancelled:NAME`, with a page, and no stage after it does anything."""
    work = request_of(book(), f"gate:{name}")
    plan(work)
    assert [node for node in work.log if isinstance(work.rows.get(node), FinalReport)] == [f"cancelled:{name}"]
    assert work.log[-1] == f"cancelled:{name}"
    assert Path(work.ended.artifact_path).is_file()  # type: ignore[union-attr]
    assert run_git(work.repo, "branch", "--list", "smithering/*") == ""


def test_a_failed_blocking_probe_is_decided_by_a_person(request_of: Callable[..., InMemory]) -> None:
    """`gate:probes` is asked only then, shows what does not hold, and its denial ends the run; the probe leaves no branch."""
    content = book()
    content["answers"]["eng:doc"]["assumptionsToProbe"][0]["probe"] = "test -e /nowhere"
    work = request_of(content, "gate:probes")
    plan(work)
    assert work.ended is not None
    assert (work.log[-1], work.ended.status) == ("cancelled:probes", "cancelled")
    assert "does not hold" in work.shown["gate:probes"]["has-grep"]
    assert run_git(work.repo, "for-each-ref", "refs/heads/smithering", "refs/smithering") == ""


def test_probes_that_hold_ask_nobody(request_of: Callable[..., InMemory]) -> None:
    """Without a failed blocking probe there is no gate, and the launch shows every command that will run."""
    work = request_of(book(), "gate:launch")
    plan(work)
    assert "gate:probes" not in work.log
    assert "grep -q goodbye farewell.txt" in work.shown["gate:launch"].values()


def test_a_launch_that_fails_is_incomplete(request_of: Callable[..., InMemory]) -> None:
    """A workflow that is gone cannot be submitted: `cancelled:launch-failed`, with the reason."""
    work = request_of(book(), "gate:launch")
    plan(work)
    work.ended, work.denied = None, ""
    Path(work.row("wf:scaffold", Scaffold).path).unlink()
    stages.launching(work)
    assert work.ended is not None
    assert (work.log[-1], work.ended.status) == ("cancelled:launch-failed", "incomplete")


def test_a_build_that_is_not_complete_is_decided_by_a_person(request_of: Callable[..., InMemory]) -> None:
    """A child that is gone has landed nothing: the monitor ends, `gate:incomplete` names each ticket, its denial ends the run."""
    work = request_of(book(), "gate:launch", monitor_minutes=0.001)
    plan(work)
    work.ended, work.denied = None, "gate:incomplete"
    work.rows["launch"] = Launch(launched=True, child_run_id="impl-gone")
    stages.monitor(work)
    assert work.ended is not None
    assert (work.log[-1], work.ended.status) == ("cancelled:incomplete", "incomplete")
    assert {"greet", "leave"} <= set(work.shown["gate:incomplete"])


def test_a_workflow_that_was_changed_is_not_launched(request_of: Callable[..., InMemory], monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is never the one that was generated is generated anew, three times, and then ends the run."""
    from smithers_nb.workflows.smithering.launch import workflow_file

    generate = workflow_file.generate

    def meddled(path: Path, *rest: Any) -> Scaffold:
        found = generate(path, *rest)
        path.write_text(path.read_text().replace("goodbye", "good riddance"))
        return found

    monkeypatch.setattr(workflow_file, "generate", meddled)
    work = request_of(book())
    plan(work)
    assert work.log[-1] == "cancelled:wf"
    assert work.log.count("wf:verify") == 3


def test_a_blocking_review_is_put_right_before_the_launch(request_of: Callable[..., InMemory]) -> None:
    """What blocks is fixed in the tickets, and the workflow that is launched is the one made of those."""
    fixed = book()["answers"]["tickets"]
    fixed["tickets"][0]["title"] = "Greet warmly"
    review = {"approved": False, "blockingIssues": [{"title": "cold"}]}
    work = request_of(_with_fix(review, fixed), "gate:launch")
    plan(work)
    assert "wf:reverify" in work.log
    assert "Greet warmly" in Path(work.row("wf:scaffold", Scaffold).path).read_text()


def _with_fix(review: dict[str, Any], fixed: dict[str, Any]) -> dict[str, Any]:
    content = book(wf__review=review)
    content["answers"]["wf:fix-blocking"] = fixed
    return content


@pytest.mark.slow
def test_a_rehearsal_that_fails_twice_is_incomplete(request_of: Callable[..., InMemory]) -> None:
    """A verification that starts a program which is not there ends at `cancelled:smoke` with its name; no command of a ticket has run."""
    content = book()
    content["answers"]["tickets"]["tickets"][0]["verification"][0]["details"] = "no-such-program-here --check"
    work = request_of(content, smoke_test=True)
    plan(work)
    assert work.ended is not None
    assert (work.log[-1], work.ended.status, work.log.count("wf:smoke")) == ("cancelled:smoke", "incomplete", 2)
    assert "no-such-program-here" in work.ended.summary
    assert run_git(work.repo, "branch", "--list", "smithering/*") == ""


def test_a_proof_of_concept_is_kept_and_lands_nowhere(request_of: Callable[..., InMemory]) -> None:
    """What was asked for as a proof of concept is a patch among the artifacts; no branch and no worktree of it stays."""
    content = book(tickets_={"poc": [{"files": {"idea.txt": "like this\n"}}]})
    work = request_of(content, "gate:launch", poc=True)
    plan(work)
    assert "+like this" in (work.folder / "poc.patch").read_text()
    assert run_git(work.repo, "for-each-ref", "refs/heads/smithering", "refs/smithering") == ""
    assert run_git(work.repo, "status", "--porcelain") == ""


def built(work: InMemory) -> None:
    """Build the tickets here instead of in a child run."""
    plan(work)
    work.ended, work.denied = None, ""
    options: dict[str, Any] = {"run_id": "r1", "base_branch": "main", "workforce": work.workforce, "artifacts": work.artifacts}
    done = build(work.repo, work.row("tickets", Tickets).tickets, **options)
    work.rows["build:result"] = BuildSummary(branch=done.branch, tip=done.tip, base=done.base, landed=done.landed, failed=done.failed)


@pytest.fixture
def remote(repo: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the repository a remote of its own, and a `gh` that writes down what it is asked."""
    bare = repo.parent / "remote.git"
    run_git(repo, "init", "--quiet", "--bare", str(bare))
    run_git(repo, "remote", "add", "origin", str(bare))
    program = repo.parent / "bin" / "gh"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" > {bare}/asked\necho https://git.example/pull/7\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return bare


@pytest.mark.parametrize("denied", ["gate:delivery", ""])
def test_nothing_leaves_before_the_delivery_is_approved(request_of: Callable[..., InMemory], remote: Path, denied: str) -> None:
    """Branch and pull request appear only behind an approved `gate:delivery`; a denial is one final report, and the work stays here."""
    work = request_of(book(), "gate:launch", push="origin", pull_request=True)
    built(work)
    work.denied = denied
    stages.review(work)
    stages.deliver(work)
    row = stages.output(work)
    pushed = run_git(work.repo, "ls-remote", "origin")
    assert [node for node in work.log if node == "report:final"] == ["report:final"]
    assert "pushed to origin, with a pull request; main stays as it is" in work.shown["gate:delivery"]["then"]
    assert run_git(work.repo, "branch", "--list", "--format=%(refname:short)", "smithering/*") == "smithering/r1/integration"
    if denied:
        assert (row.status, row.pr_url, pushed) == ("incomplete", None, "")
        assert "denied at gate:delivery" in row.summary
        assert not (remote / "asked").exists()
    else:
        assert (row.status, row.pr_url) == ("delivered", "https://git.example/pull/7")
        assert pushed.split() == [work.row("delivery", Delivery).commit, "refs/heads/smithering/r1/integration"]
        assert "--base main --head smithering/r1/integration" in (remote / "asked").read_text()
        assert work.row("delivery", Delivery).merged_to_main is False


def test_a_push_that_is_refused_is_no_delivery(request_of: Callable[..., InMemory], remote: Path) -> None:
    """What a protected remote says is in the summary, with the command for later; no pull request is tried, and the work stays here."""
    hook = remote / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'no new branches here' >&2\nexit 1\n")
    hook.chmod(0o755)
    work = request_of(book(), "gate:launch", push="origin", pull_request=True)
    built(work)
    stages.review(work)
    stages.deliver(work)
    row = stages.output(work)
    assert (row.status, run_git(work.repo, "ls-remote", "origin"), (remote / "asked").exists()) == ("incomplete", "", False)
    assert "not pushed to origin: no new branches here; once that is put right: git -C " in row.summary
    assert "\n" not in row.summary


def test_nothing_is_pushed_unless_asked(request_of: Callable[..., InMemory], remote: Path) -> None:
    """An approved delivery without `push` leaves the remote as it was."""
    work = request_of(book(), "gate:launch", pull_request=True)
    built(work)
    stages.review(work)
    stages.deliver(work)
    assert stages.output(work).status == "delivered"
    assert run_git(work.repo, "ls-remote", "origin") == ""
    assert not (remote / "asked").exists()
