"""A store that Smithers 0.5 wrote is read as any other, and gets the commands of that version."""

from __future__ import annotations

import shlex
import sqlite3
from contextlib import closing

from smithers_nb.diagnosis.engines.base import engine_of
from smithers_nb.diagnosis.engines.smithers import SmithersCommands
from smithers_nb.diagnosis.engines.smithers_early import EarlySmithersCommands
from smithers_nb.sources.locate import open_source
from smithers_nb.sources.snapshot import Snapshot
from smithers_nb.workflows.autopsy.why import explain
from smithers_nb.workflows.monitor.diagnose import diagnose
from smithers_nb.workflows.monitor.gather import gather

NOW = 1_796_100_000_000

FLAGS = {
    "run": {"--input"},
    "resume": {"--run-id"},
    "approve": {"--run-id", "--node-id", "--iteration"},
    "deny": {"--run-id", "--node-id", "--iteration"},
    "status": {"--run-id"},
    "frames": {"--run-id"},
    "cancel": {"--run-id"},
}
"""Verbs and flags that `smithers --help` of 0.5 lists."""

early = EarlySmithersCommands("w.tsx")


def test_only_known_verbs_and_flags():
    """Nothing is printed that Smithers 0.5 does not understand, and every command names the workflow's file."""
    printed = [
        early.retry_task("w.tsx", "r", "n", 1),
        early.accepting_change(early.resume(None, "r", force=True)),
        early.approve("r", "n", 1),
        early.choose("r", "n", 0, {"selected": "a"}),
        early.deny("r", "-n"),
        early.answer("human:r:n:0", "true"),
        early.signal("r", "paid", "order-1"),
        early.cancel("-r"),
        early.fresh_run(None, {"a": 1}),
        early.rewind("r", 3),
        early.inspect("r"),
    ]
    for command in printed:
        arguments = shlex.split(command)
        assert tuple(arguments[:2]) == early.program
        assert arguments[3] == "w.tsx"
        assert {a for a in arguments if a.startswith("--")} <= FLAGS[arguments[2]]


def test_what_it_cannot_show_our_own_command_line_shows():
    """Attempts and events have no command in 0.5."""
    assert early.node("r", "a b", 2) == "smithers-nb node r 'a b' --iteration 2"
    assert early.events("r") == "smithers-nb events r"
    assert early.node("-r", "n") == early.events("-r") == early.inspect("-r")


def test_the_store_tells_the_version(store):
    """Without a hash of the workflow and a record of migrations it is an early store; one that only lost its record is none."""
    assert isinstance(engine_of(Snapshot(open_source(store("early")), "sync-1")), EarlySmithersCommands)
    newer = store("db-migration")
    with closing(sqlite3.connect(newer)) as db, db:
        db.execute("DROP TABLE _smithers_schema_migrations")
    source = open_source(newer)
    assert isinstance(engine_of(Snapshot(source, source.run_ids()[0])), SmithersCommands)


def test_a_failed_run_is_resumed_with_more_retries(store):
    """A resume of 0.5 repeats the failure until `retries` allow another attempt; nothing speaks of a command that it does not have."""
    advice = explain(Snapshot(open_source(store("early")), "sync-1"), now=NOW).advice
    assert advice is not None
    assert advice.suggestion == "edit-workflow-and-reset"
    assert advice.commands == ("bunx smithers-orchestrator resume /srv/ws/price-sync/price-sync.tsx --run-id sync-1",)
    assert "`retries`" in advice.detail
    assert "retry-task" not in advice.detail
    assert "RESUME_METADATA_MISMATCH" not in advice.detail


def test_a_gate_is_decided_with_the_file_of_the_workflow(store):
    """Approve and deny of 0.5 take the file, and somebody resumes the run afterwards."""
    file = "/srv/ws/price-sync/publish.tsx --run-id pub-1"
    (blocker,) = explain(Snapshot(open_source(store("early")), "pub-1"), now=NOW).blockers
    assert blocker.commands == (
        f"bunx smithers-orchestrator approve {file} --node-id live",
        f"bunx smithers-orchestrator resume {file}",
    )


def test_a_monitor_prints_nothing_of_a_later_version(store):
    """Its sheet of commands and its words on edits are those of the program that the project has."""
    path = store("early")
    found = diagnose(gather("pub-1", path, now=NOW), Snapshot(open_source(path), "pub-1"))
    printed = [command for command, _ in found.cheat_sheet]
    assert all(command.startswith("smithers-nb ") for command in printed)
    assert not found.refuses_edits
