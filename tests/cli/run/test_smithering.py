"""`smithering` from the command line: what is asked, what is answered, and the row that a run ends with."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from smithers_nb.engine.control import answer
from smithers_nb.engine.location import Location
from tests.workflows.smithering.conftest import made_repo, run_git
from tests.workflows.smithering.pipeline import Request, book


@pytest.mark.slow
def test_whoever_gives_no_prompt_is_asked_and_a_resume_ends_with_the_row(cli, tmp_path, monkeypatch):
    """The setup interview waits, an empty answer is asked for again, and the resumed run says what was delivered."""
    repo, answers = made_repo(tmp_path / "repo"), tmp_path / "book.yaml"
    answers.write_text(yaml.safe_dump({"tickets": {"direct": [{"files": {"README.md": "hallo\n"}}]}}))
    monkeypatch.chdir(repo)
    checks = ("--checks", "grep -q hallo README.md")
    asked = cli("smithering", "--book", answers, *checks, "--run-id", "q", "--by", "ana", "--on-behalf-of", "ben")
    assert (asked.code, "What should be built or changed" in " ".join(asked.out.split())) == (3, True)
    answer(Location.of(str(repo)), "human:q:setup:interview:0", " ", by="ben", resume=False)
    again = cli("resume", "q", "--format", "json")
    assert (again.code, [item["requestId"] for item in again.json["waitingFor"]]) == (3, ["human:q:setup:interview:1"])
    answer(Location.of(str(repo)), "human:q:setup:interview:1", "Fix the typo in the README", by="ben", resume=False)
    ended = cli("resume", "q", "--format", "json")
    assert (ended.code, ended.json["status"], ended.json["row"]["status"]) == (0, "finished", "delivered")
    assert Path(ended.json["row"]["reportPath"]).is_file()


def test_a_run_that_nobody_executes_yet_is_no_change_of_the_project(cli, tmp_path, monkeypatch):
    """From the moment in which a request is left to a worker, git ignores what we write into the project and into the repository."""
    repo, project = made_repo(tmp_path / "repo"), made_repo(tmp_path / "project")
    monkeypatch.chdir(project)
    monkeypatch.setattr("smithers_nb.cli.run.execute._detach", lambda *_: 0)
    assert cli("smithering", "Do it", "--provider", "codex_exec", "--repo", repo, "--detach").code == 0
    assert (Path(".smithers_nb").is_dir(), run_git(project, "status", "--porcelain")) == (True, "")
    assert "/.smithers_nb/" in (repo / ".git" / "info" / "exclude").read_text()


def test_what_cannot_be_is_refused_before_a_run_is_written(cli, tmp_path, monkeypatch):
    """Options that exclude each other leave nothing behind."""
    monkeypatch.chdir(made_repo(tmp_path / "repo"))
    assert cli("smithering", "Do it", "--provider", "codex_exec", "--serve", "--detach").code == 4
    assert not Path(".smithers_nb").exists()


@pytest.mark.slow
def test_what_waited_for_a_person_is_built_by_one_command(cli, tmp_path, monkeypatch):
    """A ticket that needed somebody lands after `--again` on top of what had landed, and the same run comes to its delivery."""
    repo = made_repo(tmp_path / "repo")
    request = Request(repo, book(tickets_={"leave": [{"needsPerson": "choose a farewell"}]}))
    assert request.run(until="gate:incomplete") == "waiting-approval"
    landed = run_git(repo, "rev-parse", "smithering/r1/integration")
    (tmp_path / "book-r1.yaml").write_text(yaml.safe_dump(book(tickets_={"leave": [{"files": {"farewell.txt": "goodbye\n"}}]})))
    monkeypatch.chdir(repo)
    again = cli("smithering", "--again", "r1", "--format", "json")
    assert (again.code, [item["nodeId"] for item in again.json["waitingFor"]]) == (3, ["gate:delivery"])
    assert run_git(repo, "log", "--format=%H %s", "smithering/r1/integration").splitlines()[1].startswith(landed)
    assert cli("smithering", "--again", "r1").code == 4
