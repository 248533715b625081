"""Recorded commands are read in both spellings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from smithers_nb.errors import SourceNotFound
from smithers_nb.sources.rundir.commands import read_commands


def test_both_spellings_give_the_same_rows(tmp_path: Path) -> None:
    """A recorder's line and a line of our step log are the same command; a cut line is a problem and no error."""
    rows = [
        {"argv": ["p", "run"], "env": {"A": "1"}, "exit_code": 5, "duration_s": 0.5, "started_at": "t", "stdout": "o", "stderr": "e"},
        {"argv": ["p", "run"], "env_redacted": {"A": "1"}, "exit": 5, "duration": 0.5, "at": "t", "stdout": "o", "stderr": "e"},
    ]
    file = tmp_path / "commands.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)) + '\n\n{"argv": ["p"')
    (first, second), problems = read_commands(file)
    assert (first.n, second.n) == (1, 2)
    assert {**vars(first), "n": 0} == {**vars(second), "n": 0}
    assert first.failed
    assert problems == ("line 4 of commands.jsonl is not a recorded command",)


def test_no_file_is_an_error(tmp_path: Path) -> None:
    """A file of commands that is not there is refused."""
    with pytest.raises(SourceNotFound):
        read_commands(tmp_path / "none.jsonl")
