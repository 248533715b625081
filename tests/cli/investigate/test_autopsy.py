"""`autopsy`, `report` and `demo` write a notebook and a report, and say where."""

from __future__ import annotations

import gzip
import json
import re
import sqlite3
from pathlib import Path

import pytest

from smithers_nb.resources import resource
from tests.support.notebooks import code, notebook, write
from tests.support.sessions import user, write_log

FAILED = "order-sync-013"
README = Path(__file__).parents[3] / "README.md"

pytestmark = pytest.mark.slow


def test_demo_ends_with_the_report(cli, tmp_path: Path, monkeypatch) -> None:
    """`demo` needs nothing but itself, prints the verdict, and its last line is the path of an HTML report."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    answer = cli("demo")
    assert answer.code == 0, answer.err
    assert "workflow-bug" in answer.out
    report = Path(answer.out.splitlines()[-1].split()[-1])
    assert report.read_text("utf-8").lower().startswith("<!doctype html>")
    assert len(list((tmp_path / "cache").rglob("smithers.db"))) == 1
    shown = README.read_text("utf-8").split("```\n")
    (sample,) = (block for block in shown if block.startswith("✖ failed"))
    assert " ".join(sample.split()) in " ".join(answer.out.split())  # the answer that the README shows is the one that is given


def test_autopsy_prints_the_row_and_its_files(cli, example: Path, tmp_path: Path) -> None:
    """With JSON, the verdict row names its notebook and report, and nothing else is on standard output."""
    answer = cli("autopsy", FAILED, "-s", example, "--artifacts", tmp_path / "out", "-f", "json", "--now", "2026-11-21")
    assert answer.code == 0, answer.err
    row = answer.json
    assert row["failureClass"] == "workflow-bug"
    assert json.loads(Path(row["notebook"]).read_text("utf-8"))["cells"]
    assert Path(row["report"]).parent == tmp_path / "out" / "autopsy"
    alone = cli("autopsy", FAILED, "-s", example, "--no-notebook", "-f", "json", "--now", "2026-11-21").json
    assert {key: row[key] for key in alone} == alone


def test_report_prints_a_path(cli, example: Path, tmp_path: Path) -> None:
    """`report` prints the path of the page and nothing else."""
    answer = cli("report", FAILED, "-s", example, "--artifacts", tmp_path)
    assert (answer.code, answer.err) == (0, "")
    assert Path(answer.out.strip()).is_file()


def test_files_stay_in_the_artifacts_folder(cli, own_example: Path, tmp_path: Path) -> None:
    """A run id like a path writes below the artifacts folder all the same."""
    evil = "../../escape; $(reboot) <script>"
    with sqlite3.connect(own_example) as store:
        for table in ("_smithers_runs", "_smithers_nodes", "_smithers_attempts", "_smithers_events"):
            store.execute(f"UPDATE {table} SET run_id = ? WHERE run_id = ?", (evil, FAILED))
    store.close()
    folder = tmp_path / "deep" / "er" / "artifacts"
    answer = cli("autopsy", "../../esc", "-s", own_example, "--artifacts", folder, "-f", "json")
    assert answer.code == 0, answer.err
    for written in (answer.json["notebook"], answer.json["report"]):
        assert Path(written).resolve().parent == folder / "autopsy"
    assert "<script>alert" not in Path(answer.json["report"]).read_text("utf-8")


def test_a_run_that_did_not_fail_starts_no_notebook(cli, example: Path, tmp_path: Path) -> None:
    """Nothing is written for a run that finished."""
    answer = cli("autopsy", "order-sync-004", "-s", example, "--artifacts", tmp_path / "out")
    assert answer.code == 4
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["session", "notebook"])
def test_what_stopped_without_failing_is_told(cli, tmp_path: Path, kind: str) -> None:
    """A session that was interrupted and a notebook of which cells never ran: how it ended, what to do, and the report."""
    session = write_log(tmp_path / "s.jsonl", user("hi"), user("[Request interrupted by user]"))
    half = write(tmp_path, half=notebook(code("1", 1), code("2"))) / "half.ipynb"
    path, state = (session, "interrupted") if kind == "session" else (half, "partial")
    answer = cli("autopsy", path, "--artifacts", tmp_path / "out", "-f", "json")
    assert (answer.code, answer.json["state"]) == (0, state)
    assert "did not fail: it is" in answer.err
    shown = re.sub("<[^>]+>", "", Path(answer.json["report"]).read_text("utf-8"))
    assert answer.json["summary"] in " ".join(shown.split())
    assert "Suggestion" in cli("autopsy", path, "--no-notebook").out


def test_artifacts_that_cannot_be_written(cli, example: Path, tmp_path: Path) -> None:
    """An artifacts folder that is a file is one line."""
    (tmp_path / "file").write_text("")
    answer = cli("autopsy", FAILED, "-s", example, "--artifacts", tmp_path / "file")
    assert answer.code == 4
    assert "Traceback" not in answer.err
    answer = cli("autopsy", FAILED, "-s", example, "--artifacts", tmp_path / "file" / "below")
    assert answer.code in {1, 4}
    assert "unexpected" not in answer.err
    assert "Traceback" not in answer.err


def test_the_bundled_store_is_small() -> None:
    """What every installation carries stays under a megabyte."""
    packed = resource("templates/example/smithers.db.gz").read_bytes()
    assert len(packed) < 1_000_000
    assert gzip.decompress(packed).startswith(b"SQLite format 3")
