"""The page of a run of a monitor: what it found out about its target or its fleet, and its report."""

from __future__ import annotations

from pathlib import Path

from smithers_nb.engine.journal import Journal, records
from smithers_nb.engine.journal.records import Node
from smithers_nb.engine.location import Location
from smithers_nb.model.timestamps import now_ms
from smithers_nb.resources import example_store
from smithers_nb.workflows.fleet.sweep import sweep
from smithers_nb.workflows.live import static
from smithers_nb.workflows.live.run_page import RunPage
from smithers_nb.workflows.live.served_runs import ServedRuns
from smithers_nb.workflows.monitor.report import compose
from smithers_nb.workflows.monitor.stages import look


def test_a_monitor_shows_health_topics_and_report(tmp_path: Path) -> None:
    """Badge, questions, gates, outputs, changes, actions and the embedded report are on the page as soon as the stages wrote them."""
    location = Location.of(tmp_path)
    gathered, found = look("order-sync-013", example_store(), now=now_ms())
    with Journal.open(location) as journal, journal.writing() as connection:
        records.create_run(connection, records.NewRun("m1", "monitor", "/p/monitor.ipynb", "hash", {}, {}))
    page = RunPage(ServedRuns.of(location), "m1", "key")
    assert page.findings()["monitor"] == ""
    with Journal.open(location) as journal, journal.writing("m1") as connection:
        records.write_output(connection, Node("m1", "diagnose"), "json", found.as_json())
        records.write_output(connection, Node("m1", "report"), "json", compose(gathered, found).as_json())
    shown = page.findings()["monitor"]
    for heading in ("Questions and answers", "Approval gates", "Task outputs", "Recommended actions"):
        assert heading in shown
    assert "failed" in shown
    assert 'src="/run/m1/report"' in shown
    assert (static.report(ServedRuns.of(location), "m1") or "").startswith("<!")


def test_a_fleets_monitor_shows_what_to_do_first_and_every_topic(tmp_path: Path) -> None:
    """What a look at a fleet found is on the page of its run, with the report beside it once there is one."""
    location = Location.of(tmp_path)
    with Journal.open(location) as journal, journal.writing() as connection:
        records.create_run(connection, records.NewRun("f1", "monitor-smithers", "/p/monitor-smithers.ipynb", "hash", {}, {}))
    page = RunPage(ServedRuns.of(location), "f1", "key")
    assert page.findings()["monitor"] == ""
    found = sweep([str(example_store())], now_ms())
    with Journal.open(location) as journal, journal.writing("f1") as connection:
        records.write_output(connection, Node("f1", "poll"), "json", found.as_json())
    shown = page.findings()["monitor"]
    for heading in ("Do this first", "What to do", "What recurs", "Every run"):
        assert heading in shown
    assert "iframe" not in shown
    with Journal.open(location) as journal, journal.writing("f1") as connection:
        records.write_output(connection, Node("f1", "report"), "json", {"title": "The fleet", "html": "<!doctype html>"})
    assert 'src="/run/f1/report"' in page.findings()["monitor"]
