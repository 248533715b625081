"""Gather never raises, a diagnosis survives being stored, and looking changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import click
import orjson
import pytest

from smithers_nb.cli.investigate.monitor import page
from smithers_nb.workflows.monitor.report import compose
from smithers_nb.workflows.monitor.results import Diagnosis, MonitorSnapshot
from smithers_nb.workflows.monitor.stages import look, row_of
from smithers_nb.workflows.monitor.views import headline_of
from tests.support.notebooks import by_papermill, code, notebook, run_block, write

NOW = 1795181301665


def cases(corpus: Path, *folders: str):
    """List every labelled run: folder of its case, its label."""
    for folder in folders:
        for path in sorted((corpus / folder).glob("*/label.json")):
            label = json.loads(path.read_text())
            if label.get("run_id"):
                yield path.parent, label


def test_reading_a_labelled_run_changes_nothing_and_gets_its_health(corpus, tmp_path):
    """One run of each kind: the health of its label, nothing beside its store, every byte as it was, and the row as it was stored."""
    from tests.conftest import unpack

    wanted = {"d45": "stuck", "d46": "blocked", "d36": "overBudget", "d44": "healthy", "d01": "failed", "d73": "failed", "d39": "failed"}
    for folder, label in cases(corpus, "smithers"):
        if folder.name not in wanted:
            continue
        packed = folder / "smithers.db.gz"
        store = unpack(packed if packed.exists() else folder / "smithers.db", tmp_path / folder.name / "smithers.db")
        before = store.read_bytes()
        gathered, found = look(label["run_id"], store, now=label["as_of_ms"])
        assert (folder.name, found.health) == (folder.name, wanted[folder.name])
        assert store.read_bytes() == before
        assert [path.name for path in store.parent.iterdir()] == ["smithers.db"]
        assert Diagnosis.read(orjson.loads(orjson.dumps(found.as_json()))) == found
        assert MonitorSnapshot.read(gathered.as_json()) == gathered


@pytest.mark.parametrize("name", ["no-such-run", "", "-x", "a" * 5_000])
def test_a_run_that_is_not_there_is_a_thin_snapshot(fleet, name):
    """A wrong id gives a row that says so, and a report."""
    gathered, found = look(name or "zz", fleet, now=NOW)
    assert (gathered.ok, gathered.state) == (False, "unknown")
    assert "no run" in row_of(gathered, found).summary
    assert compose(gathered, found).section_count


def test_a_store_that_cannot_be_read_is_a_thin_snapshot(tmp_path):
    """Neither a damaged file nor a folder without runs raises."""
    (tmp_path / "smithers.db").write_bytes(b"SQLite format 3\x00" + b"\xff" * 5_000)
    for place in (tmp_path / "smithers.db", tmp_path / "gone.db", "nosuch://place"):
        gathered, found = look(None, place, now=NOW)
        assert not gathered.ok
        assert found.recommended_actions


def test_the_most_recent_active_run_is_picked(fleet):
    """Without an id the newest run that is not over is looked at; what a store holds after the moment does not exist yet."""
    gathered, _ = look(None, fleet, now=NOW)
    assert gathered.ok
    assert gathered.status.startswith(("waiting-", "running", "paused"))
    started = NOW - gathered.age_minutes * 60_000
    earlier, _ = look(None, fleet, now=round(started) - 60_000)
    assert earlier.target_run_id != gathered.target_run_id


def test_monitors_are_not_monitored(changed):
    """Runs of a monitor, and siblings that watch another run, are never picked."""
    first = look(None, changed("select 1"), now=NOW)[0].target_run_id
    second = look(None, changed("update _smithers_runs set workflow_name = 'monitor' where run_id = ?", first), now=NOW)[0].target_run_id
    mark = orjson.dumps({"annotations": {"smithersMonitorFor": "x"}}).decode()
    third = look(None, changed("update _smithers_runs set config_json = ? where run_id = ?", mark, second), now=NOW)[0].target_run_id
    assert len({first, second, third}) == 3


def test_two_failures_in_a_row_are_trouble_until_a_success(corpus_store):
    """A task that has failed five times is in trouble; once its newest attempt succeeded it is not."""
    import sqlite3

    store = corpus_store("d67")
    (run_id,) = sqlite3.connect(store).execute("select run_id from _smithers_runs").fetchone()
    as_of = 1795181301665
    assert look(run_id, store, now=as_of)[1].in_trouble == ("score-carts",)
    connection = sqlite3.connect(store)
    connection.execute("update _smithers_attempts set state = 'finished' where attempt = (select max(attempt) from _smithers_attempts)")
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    assert look(run_id, store, now=as_of)[1].in_trouble == ()


def test_success_that_is_not_is_said(corpus_store, corpus):
    """A run that finished with a failed task is healthy, and its headline does not leave it at that."""
    label = json.loads((corpus / "smithers" / "d61" / "label.json").read_text())
    gathered, found = look(label["run_id"], corpus_store("d61"), now=label["as_of_ms"])
    assert found.health == "healthy"
    assert [concern.kind for concern in found.concerns] == ["finished-with-failed-children"]
    assert "finished, but see the doubts below" in compose(gathered, found).html


def test_the_head_of_a_report_names_the_folder_once(corpus_store, corpus):
    """Where to run the command is said once, also when the advice beside the command already says it."""
    for name in ("d01", "d36"):
        label = json.loads((corpus / "smithers" / name / "label.json").read_text())
        gathered, found = look(label["run_id"], corpus_store(name), now=label["as_of_ms"])
        assert str(headline_of(found, None, gathered).html).count("Run the commands in") == 1


def test_a_page_names_a_state_once_and_wraps_what_tasks_output(corpus_store, corpus, monkeypatch):
    """The first line repeats no word as health and as state, and long outputs are wrapped."""
    monkeypatch.setenv("COLUMNS", "80")
    label = json.loads((corpus / "smithers" / "d01" / "label.json").read_text())
    gathered, found = look(label["run_id"], corpus_store("d01"), now=label["as_of_ms"])
    lines = [click.unstyle(line) for line in page(row_of(gathered, found), None)]
    assert lines[0] == f"✖ failed  {label['run_id']}"
    start = next(number for number, line in enumerate(lines) if line.startswith("Outputs"))
    end = lines.index("", start)
    assert end > start + 1
    assert lines[end - 1].startswith(" ")


def test_the_report_has_its_topics_in_order(corpus_store, corpus):
    """The standing questions and scores have a section each, also when there is nothing; other empty topics have none."""
    label = json.loads((corpus / "smithers" / "d51" / "label.json").read_text())
    gathered, found = look(label["run_id"], corpus_store("d51"), now=label["as_of_ms"])
    assert [heading for heading, _ in found.topics()] == [
        "Questions and answers",
        "Approval gates",
        "Task outputs",
        "Code changes",
        "Scores",
        "By hand",
    ]
    page = compose(gathered, found, title="<b>Mine</b>").html
    assert "&lt;b&gt;Mine" in page
    assert "Spacing is fine now" in page
    assert 'http-equiv="Content-Security-Policy"' in page


def test_an_executed_notebook_says_how_it_ended(tmp_path):
    """A notebook that was stopped is not `healthy` in its headline, and the banner has the words of `why`."""
    begun = by_papermill("running", end_time=None)
    stopped = notebook(code("load()", 1, **by_papermill()), code("wait()", 2, **begun), **run_block(end=None))
    gathered, found = look("job.ipynb", write(tmp_path, job=stopped), now=NOW)
    assert found.state == "partial"
    page = compose(gathered, found).html
    assert "was run in part" in page
    assert "was running when the file was last written" in page


def test_only_a_task_that_was_begun_is_looked_at_by_hand(corpus_store, corpus):
    """A run that waits lists no output and no diff of the task behind its gate."""
    label = json.loads((corpus / "smithers" / "d46" / "label.json").read_text())
    _, found = look(label["run_id"], corpus_store("d46"), now=label["as_of_ms"])
    commands = [command for command, _ in found.cheat_sheet]
    assert any(command.endswith("plan-migration") for command in commands)
    assert not any("apply-migration" in command for command in commands)
