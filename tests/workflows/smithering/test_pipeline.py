"""The whole way of a request, on real repositories, with every part real but the thinking."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from smithers_nb.engine.control import resume
from tests.support.durable import until
from tests.workflows.smithering.conftest import run_git
from tests.workflows.smithering.pipeline import BOOK, Request, book

pytestmark = pytest.mark.slow

_EXECUTE = """
import sys
from smithers_nb.engine.location import Location
from smithers_nb.engine.workers.foreground import run_here
run_here(Location.of(sys.argv[1]), sys.argv[2])
"""
_AGENT = """\
#!{python}
import json, pathlib, sys, yaml
book = yaml.safe_load(pathlib.Path({book!r}).read_text())
asked = json.load(sys.stdin)
kind, _, name = asked["stage"].partition(":")
if kind == "implement":
    attempts = book["tickets"][name]
    entry = attempts[min(asked["attempt"], len(attempts)) - 1]
    for file, text in entry["files"].items():
        pathlib.Path(file).write_text(text)
    print("working...", json.dumps({{"summary": entry.get("summary", name)}}))
else:
    print(json.dumps(book["answers"].get(asked["stage"]) or book["answers"][kind]))
"""


def test_a_full_build_is_delivered_on_a_branch(repo: Path) -> None:
    """Every gate is passed, a red ticket is repaired, a reviewer who answers nonsense is left out, the base branch stays as it is."""
    before = run_git(repo, "rev-parse", "main")
    request = Request(repo, book(**{"review@east": {"approved": "perhaps"}}))
    assert request.run() == "finished", request.reason
    row = request.row
    assert request.output("review:synthesis")["reviewers"] == ["fable", "codex"]
    assert (row.status, row.route, row.ticket_count, row.impl_run_id) == ("delivered", "full-build", 2, "impl-r1")
    assert set(row.files_changed) == {"greeting.txt", "farewell.txt"}
    assert request.final_reports() == ["report:final"]
    assert (run_git(repo, "rev-parse", "main"), run_git(repo, "status", "--porcelain")) == (before, "")
    assert run_git(repo, "show", f"{row.branch}:farewell.txt") == "goodbye"
    assert "merge" not in run_git(repo, "log", "--format=%s", "main")
    report = Path(row.report_path or "").read_text()
    assert "bot on behalf of ana" in report
    assert "REQ-2.1" in report


def test_a_killed_request_and_its_killed_build_go_on(repo: Path) -> None:
    """Both processes are killed in the middle of the build; a resume delivers, each ticket lands once, no stage before is repeated."""
    content = book()
    for row in content["answers"]["tickets"]["tickets"]:
        row["verification"].append({"kind": "command", "details": "sleep 2"})
    request = Request(repo, content, review=False)
    words = [sys.executable, "-c", _EXECUTE, str(repo), request.run_id]
    process = subprocess.Popen(words, start_new_session=True)
    until(lambda: request.state_of("impl-r1", "build") == "in-progress", 120)
    for group in (process.pid, request.pid_of("impl-r1")):
        os.killpg(group, signal.SIGKILL)
    process.wait()
    resume(request.location, "r1", force=True, here=True)
    assert request.run() == "finished", request.reason
    assert request.row.status == "delivered"
    subjects = run_git(repo, "log", "--format=%s", f"main..{request.row.branch}").splitlines()
    assert sorted(subjects) == ["Greet", "Say goodbye"]
    assert request.attempts("prd") == 1
    assert run_git(repo, "worktree", "list").count("\n") == 0


def test_a_repository_that_cannot_be_built_in_is_told(repo: Path) -> None:
    """A dirty tree ends the run before anything is asked, with what to do."""
    (repo / "README.md").write_text("changed\n")
    request = Request(repo, BOOK)
    assert request.run() == "finished", request.reason
    assert request.final_reports() == ["cancelled:preflight"]
    assert "DIRTY_TREE" in request.row.summary


def test_a_denied_gate_ends_the_run(repo: Path) -> None:
    """A denial gives exactly one final report, at a node of its own, and nothing is built."""
    request = Request(repo, book())
    assert request.run(denied="gate:prd") == "finished", request.reason
    assert request.row.status == "cancelled"
    assert request.final_reports() == ["cancelled:prd"]
    assert run_git(repo, "branch", "--list", "smithering/*") == ""


def test_a_program_that_speaks_json_builds_without_review(repo: Path) -> None:
    """An agent CLI started as a process does everything; each gate is a recorded decision; what a reviewer must have fixed is fixed."""
    content = book()
    content["answers"]["review:codex"] = {"approved": False, "issues": [{"severity": "major", "title": "No name", "file": "greeting.txt"}]}
    content["tickets"]["polish"] = [{"files": {"greeting.txt": "hello Ada\n"}}]
    file = repo.parent / "answers.json"
    file.write_text(json.dumps(content))
    agent = repo.parent / "agent"
    agent.write_text(_AGENT.format(python=sys.executable, book=str(file)))
    agent.chmod(agent.stat().st_mode | stat.S_IXUSR)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CODING_AGENT_CMD", str(agent))
        patched.setenv("CODING_AGENT_FAMILIES", f"other={agent}")
        request = Request(repo, None, review=False, provider="codex_exec", on_behalf_of="ben")
        assert request.run() == "finished", request.reason
    assert (request.row.status, request.row.must_fix_count) == ("delivered", 1)
    assert "2 reviewers" in request.output("review:synthesis")["summary"]
    assert run_git(repo, "show", f"{request.row.branch}:greeting.txt") == "hello Ada"
    gate = request.output("gate:launch")
    assert (gate["approved"], gate["decidedBy"], gate["note"]) == (True, "ana on behalf of ben", "auto: review=false")


def test_small_requests_are_done_at_once(repo: Path) -> None:
    """Two trivial requests of another project in one repository land on branches of their own, each verified, and ask nobody."""
    project = repo.parent / "project"
    project.mkdir()
    work: dict[str, Any] = {"tickets": {"direct": [{"files": {"README.md": "hallo\n"}, "summary": "Fixed."}]}}
    for run_id in ("one", "two"):
        request = Request(repo, work, run_id, project, prompt="Fix the typo in the README", route="auto", checks="grep -q hallo README.md")
        assert request.run() == "finished", request.reason
        assert (request.row.status, request.row.route, request.row.files_changed) == ("delivered", "trivial", ("README.md",))
        assert request.row.branch == f"smithering/{run_id}/integration"
        assert request.final_reports() == ["report:direct"]
        assert Path(request.row.report_path or "").is_relative_to(project)
    assert not (repo / "artifacts").exists()
