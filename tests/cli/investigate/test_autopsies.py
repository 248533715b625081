"""`autopsy --all-failed` looks at every failed run, prints a row for each, and says by its exit code whether all of that worked."""

from __future__ import annotations

import os
import pty
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

NOW = "2026-11-21"


@pytest.fixture
def two_failed(own_example: Path) -> Path:
    """The example store with two of its failed runs left."""
    with sqlite3.connect(own_example) as connection:
        connection.execute(
            "UPDATE _smithers_runs SET status = 'finished' WHERE status = 'failed' AND run_id NOT IN ('order-sync-013', 'order-sync-011')"
        )
        connection.execute("UPDATE _smithers_runs SET status = 'failed' WHERE run_id = 'order-sync-011'")
    connection.close()
    return own_example


def test_one_row_per_autopsy(cli, two_failed: Path, tmp_path: Path) -> None:
    """With jsonl each failed run is a line of its own with its verdict and files; that of a single autopsy says the same."""
    answer = cli("autopsy", "--all-failed", "-s", two_failed, "--artifacts", tmp_path / "out", "-f", "jsonl", "--now", NOW)
    assert answer.code == 0, answer.err
    rows = {row["runId"]: row for row in answer.lines}
    assert set(rows) == {"order-sync-011", "order-sync-013"}
    assert all(Path(row[file]).is_file() for row in rows.values() for file in ("notebook", "report"))
    alone = cli("autopsy", "order-sync-013", "-s", two_failed, "--no-notebook", "-f", "json", "--now", NOW).json
    shared = ("failureClass", "confidence", "suggestion", "signature", "rootCause")
    assert {key: rows["order-sync-013"][key] for key in shared} == {key: alone[key] for key in shared}


def test_the_table_names_runs_and_place(cli, two_failed: Path, tmp_path: Path) -> None:
    """People get a table with one line per run, and are told where the reports are."""
    answer = cli("autopsy", "--all-failed", "-s", two_failed, "--artifacts", tmp_path / "out", "--workers", 1, "--now", NOW)
    assert (answer.code, answer.err) == (0, "")
    head, first, second, _, location = answer.out.splitlines()
    assert head.split()[:2] == ["RUN", "CLASS"]
    assert "workflow-bug" in first + second
    assert location.endswith(str(tmp_path / "out" / "autopsy"))


def test_nothing_failed(cli, two_failed: Path, tmp_path: Path) -> None:
    """A store without failed runs, or without any since then, says so, writes nothing, and is no failure."""
    answer = cli("autopsy", "--all-failed", "--since", "1m", "-s", two_failed, "--artifacts", tmp_path / "out")
    assert (answer.code, answer.out, answer.err) == (0, "", "no failed runs since then\n")
    with sqlite3.connect(two_failed) as connection:
        connection.execute("UPDATE _smithers_runs SET status = 'finished'")
    connection.close()
    answer = cli("autopsy", "--all-failed", "-s", two_failed, "--artifacts", tmp_path / "out", "-f", "json")
    assert (answer.code, answer.json) == (0, [])
    assert cli("autopsy", "--all-failed", "-s", two_failed).err == "no failed runs\n"
    assert not (tmp_path / "out").exists()


def test_an_autopsy_that_fails_is_a_row_and_exit_code_1(cli, two_failed: Path, tmp_path: Path) -> None:
    """One report that cannot be written is said in its row; the other is there."""
    (tmp_path / "out" / "autopsy" / "order-sync-011.html").mkdir(parents=True)
    answer = cli("autopsy", "--all-failed", "-s", two_failed, "--artifacts", tmp_path / "out", "-f", "json", "--now", NOW)
    assert answer.code == 1
    assert answer.err == "1 of 2 autopsies failed themselves\n"
    rows = {row["runId"]: row for row in answer.json}
    assert "could not be written" in rows["order-sync-011"]["error"]
    assert rows["order-sync-013"]["error"] is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--since", "1h"), "go with --all-failed"),
        (("x", "--all-failed"), "not both"),
        (("x", "--since", "1h"), "go with --all-failed"),
        (("x", "--workers", "2"), "go with --all-failed"),
        (("--all-failed", "--workflow-path", __file__), "for a single run"),
        (("--all-failed", "--no-notebook", "--workers", "2"), "makes none"),
        (("--all-failed", "--workers", "0"), "workers"),
        (("--all-failed", "--provider", "nobody"), "nobody"),
    ],
)
def test_what_does_not_go_together(cli, two_failed: Path, tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    """Options that contradict each other are a user error of one line, before anything is started."""
    answer = cli("autopsy", *arguments, "-s", two_failed, "--artifacts", tmp_path / "out")
    assert answer.code == 4
    assert words in answer.err
    assert "Traceback" not in answer.err
    assert not (tmp_path / "out").exists()


def test_a_terminal_sees_progress(two_failed: Path, tmp_path: Path) -> None:
    """On a terminal a bar counts the autopsies, and is gone when the table comes."""
    ours, its = pty.openpty()
    command = ["autopsy", "--all-failed", "-s", str(two_failed), "--artifacts", str(tmp_path / "out"), "--now", NOW]
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; from smithers_nb.cli import main; sys.exit(main())", *command],
        stdout=subprocess.PIPE,
        stderr=its,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(its)
    out, _ = process.communicate(timeout=60)
    seen = os.read(ours, 100_000).decode()
    os.close(ours)
    assert process.returncode == 0
    assert "1/2" in seen
    assert "2/2" in seen
    assert seen.endswith("\r\x1b[2K")
    assert b"\x1b[2K" not in out
