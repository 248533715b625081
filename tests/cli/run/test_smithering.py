"""`smithering` from the command line: what is asked, what is answered, and the row that a run ends with."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from smithers_nb.engine.control import answer
from smithers_nb.engine.location import Location
from tests.workflows.smithering.conftest import made_repo


@pytest.mark.slow
def test_whoever_gives_no_prompt_is_asked_and_a_resume_ends_with_the_row(cli, tmp_path, monkeypatch):
    """The setup interview waits, an empty answer is asked for again, and the resumed run says what was delivered."""
    repo, book = made_repo(tmp_path / "repo"), tmp_path / "book.yaml"
    book.write_text(yaml.safe_dump({"tickets": {"direct": [{"files": {"README.md": "hallo\n"}}]}}))
    monkeypatch.chdir(repo)
    checks = ("--checks", "grep -q hallo README.md")
    asked = cli("smithering", "--book", book, *checks, "--run-id", "q", "--by", "ana", "--on-behalf-of", "ben")
    assert (asked.code, "What should be built or changed" in " ".join(asked.out.split())) == (3, True)
    answer(Location.of(str(repo)), "human:q:setup:interview:0", " ", by="ben", resume=False)
    again = cli("resume", "q", "--format", "json")
    assert (again.code, [item["requestId"] for item in again.json["waitingFor"]]) == (3, ["human:q:setup:interview:1"])
    answer(Location.of(str(repo)), "human:q:setup:interview:1", "Fix the typo in the README", by="ben", resume=False)
    ended = cli("resume", "q", "--format", "json")
    assert (ended.code, ended.json["status"], ended.json["row"]["status"]) == (0, "finished", "delivered")
    assert Path(ended.json["row"]["reportPath"]).is_file()


def test_what_cannot_be_is_refused_before_a_run_is_written(cli, tmp_path, monkeypatch):
    """Options that exclude each other leave nothing behind."""
    monkeypatch.chdir(made_repo(tmp_path / "repo"))
    assert cli("smithering", "Do it", "--provider", "codex_exec", "--serve", "--detach").code == 4
    assert not Path(".smithers_nb").exists()
