"""The whole way of a request, on real repositories, with every part real but the thinking."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.workflows.smithering.conftest import run_git
from tests.workflows.smithering.pipeline import BOOK, Request, book

pytestmark = pytest.mark.slow

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
    """Every gate is passed, a red ticket is repaired, the base branch stays as it is, and the row names the branch."""
    before = run_git(repo, "rev-parse", "main")
    request = Request(repo, book())
    assert request.run() == "finished", request.reason
    row = request.row
    assert (row.status, row.route, row.ticket_count, row.impl_run_id) == ("delivered", "full-build", 2, "impl-r1")
    assert set(row.files_changed) == {"greeting.txt", "farewell.txt"}
    assert request.final_reports() == ["report:final"]
    assert (run_git(repo, "rev-parse", "main"), run_git(repo, "status", "--porcelain")) == (before, "")
    assert run_git(repo, "show", f"{row.branch}:farewell.txt") == "goodbye"
    assert "merge" not in run_git(repo, "log", "--format=%s", "main")
    report = Path(row.report_path or "").read_text()
    assert "bot on behalf of ana" in report
    assert "REQ-2.1" in report


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
    content["answers"]["review:other"] = {"approved": False, "issues": [{"severity": "major", "title": "No name", "file": "greeting.txt"}]}
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
    """Two trivial requests in one repository land on branches of their own, each verified, with a report, and ask nobody."""
    work: dict[str, Any] = {"tickets": {"direct": [{"files": {"README.md": "hallo\n"}, "summary": "Fixed."}]}}
    for run_id in ("one", "two"):
        request = Request(repo, work, run_id, prompt="Fix the typo in the README", route="auto", checks="grep -q hallo README.md")
        assert request.run() == "finished", request.reason
        assert (request.row.status, request.row.route, request.row.files_changed) == ("delivered", "trivial", ("README.md",))
        assert request.row.branch == f"smithering/{run_id}/integration"
        assert request.final_reports() == ["report:direct"]
