"""Every JSON document fits the schema that `schema` prints for it, and a schema is not a rubber stamp."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from copy import deepcopy

import click
import pytest
from jsonschema import Draft202012Validator, ValidationError

from smithers_nb.cli.app import app
from smithers_nb.cli.schemas import DOCUMENTS, schema_of
from smithers_nb.diagnosis.beads.audit import COUNTS
from smithers_nb.engine.journal import Journal
from smithers_nb.engine.location import Location
from smithers_nb.ledger.items import create
from smithers_nb.workflows.ledger_store import open_ledger
from tests.support.durable import Project
from tests.support.schema_fields import RECORDED, fields_of

FAILED, WAITING = "mail-002", "mail-004"

PRINTED = {
    "why": (("why", FAILED), ("why", WAITING), ("why", "close-006")),
    "monitor": (("monitor", FAILED, "--no-notebook"), ("monitor", WAITING, "--no-notebook")),
    "triage-run": (("triage-run", FAILED), ("triage-run", "no-such-run")),
    "autopsy": (("autopsy", FAILED, "--no-notebook"),),
    "failures": (("failures", "--by", "attempt"),),
    "failures-by-kind": (("failures", "--by", "signature"),),
    "ps": (("ps", "--all"),),
    "inspect": (("inspect", FAILED), ("inspect", WAITING)),
    "node": (("node", FAILED, "send-letters"),),
    "events": (("events", FAILED, "--raw"),),
    "output": (("output", FAILED),),
    "diff": (("diff", FAILED),),
    "scores": (("scores", FAILED),),
    "human-inbox": (("human", "inbox"),),
}
"""Document to commands that print it, about the runs of a real store."""


NAMED_OTHERWISE = {
    "demo": ("autopsy",),
    "approve": ("decision",),
    "deny": ("decision",),
    "human answer": ("decision",),
    "workflow run": ("up",),
    "incident classify": ("incident",),
    "incident triage": ("up",),
    "incident verify": ("verify",),
}
"""Commands that print a document of another name."""

NO_DOCUMENT = {"ui", "mcp"}
"""Commands that print no JSON: they serve something."""


def fits(name, value):
    """Check a document against the schema of its name."""
    Draft202012Validator(schema_of(name)).validate(value)


@pytest.mark.parametrize("name", PRINTED)
def test_what_a_command_prints_fits_its_schema(name, cli, store, tmp_path, monkeypatch):
    """The document of each command that reads a store is what its schema says."""
    monkeypatch.chdir(tmp_path)
    place = store("fleet")
    for words in PRINTED[name]:
        answer = cli(*words, "--source", place, "--format", "json")
        assert answer.code == 0, answer.err
        fits(name, answer.json)


def test_what_is_kept_in_the_journal_fits_its_schema(cli, store, tmp_path, monkeypatch, journal_runs):
    """The attention list, a mark, a watcher's line and what `init` did are what their schemas say."""
    monkeypatch.chdir(tmp_path)
    with Journal.open(Location.of(tmp_path)) as journal:
        journal_runs.write_run(journal, "n1")
    place = store("fleet")
    needs = cli("inbox", place, "--since", "2026-01-01", "--all", "--format", "json").json
    assert needs
    fits("inbox", needs)
    fits("addressed", cli("addressed", FAILED, "--note", "done", "--source", place, "--format", "json").json)
    fits("init", cli("init", "--format", "json").json)
    fits("schema", cli("schema", "--format", "json").json)
    fits("workflow-list", cli("workflow", "list", "--system", "--format", "json").json)
    fits("logs", cli("logs", "n1", "--format", "json").json)


@pytest.mark.slow
def test_what_operations_print_fits_its_schema(cli, tmp_path, monkeypatch):
    """Going back, going on, trying again and stopping a run, and a proposed bug report, are what their schemas say."""
    monkeypatch.chdir(tmp_path)
    project = Project(Location.of(tmp_path))
    run_id = project.submit("from smithers_nb import stage\nstage('load', lambda: 1)\nstage('check', lambda: 2)")
    project.execute(run_id)
    fits("rewind", cli("rewind", run_id, "load", "--yes", "--format", "json").json)
    fits("resume", cli("resume", run_id, "--format", "json").json)
    fits("resume", cli("resume", run_id, "--format", "json").json)  # nothing is left to do
    fits("retry-task", cli("retry-task", run_id, "check", "--yes", "--format", "json").json)
    fits("cancel", cli("cancel", project.submit("1"), "--format", "json").json)
    fits("bug-proposed", cli("bug", "it hangs", "--propose").json)


def test_classify_fits_its_schema():
    """A line that was read and one that could not be are both of the one kind of row."""
    told = subprocess.run(
        [sys.executable, "-m", "smithers_nb", "classify", "--format", "json"],
        input=b"ECONNREFUSED\n{no\n",
        capture_output=True,
        check=False,
    )
    assert len(json.loads(told.stdout)) == 2
    fits("classify", json.loads(told.stdout))


@pytest.mark.slow
def test_what_notebooks_print_fits_its_schema(cli, store, tmp_path, monkeypatch):
    """Monitors of a run and of a fleet print their row, and `up` of a gate what it waits for."""
    monkeypatch.chdir(tmp_path)
    place = store("fleet")
    fits("monitor", cli("monitor", FAILED, "--source", place, "--format", "json").json)
    fits("monitor-smithers", cli("monitor-smithers", place, "--format", "json").json)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_schema_is_a_schema_with_a_version(name, cli):
    """What `schema NAME` prints is valid JSON Schema, carries name and version, and names no field in Python's spelling."""
    found = cli("schema", name).json
    Draft202012Validator.check_schema(found)
    assert found["$id"] == f"urn:smithers-nb:schema:{name}:{DOCUMENTS[name].version}"
    body = found.get("items", found)
    assert body["properties"]
    counts = set(COUNTS) | {"other_logs"} if name == "beads-audit" else set()  # counts have the names that `--fail-over` takes
    assert not [key for key in body["properties"] if "_" in key and key not in counts]


def test_every_command_has_a_schema():
    """Whoever adds a command that prints JSON adds its schema, or says here that it prints none."""
    commands = dict(_leaves(app))
    lacking = [
        words
        for words in commands
        if words not in NO_DOCUMENT and not {*NAMED_OTHERWISE.get(words, ()), words.replace(" ", "-")} & DOCUMENTS.keys()
    ]
    assert lacking == []
    assert NO_DOCUMENT | NAMED_OTHERWISE.keys() <= commands.keys()


def test_what_commands_of_incidents_print_fits_its_schema(cli, corpus, tmp_path, monkeypatch):
    """A classification, a plan, a bundle and a runbook that was tried are what their schemas say."""
    monkeypatch.chdir(tmp_path)
    captured = corpus / "rundirs" / "A2_stage_conflict_partial_spec"
    case = shutil.copytree(captured, tmp_path / "captures" / captured.name)
    run = (case / "run").rename(case / json.loads((case / "run" / "run.json").read_text())["run_id"])
    given = (str(run), "--commands", str(case / "commands.jsonl"))
    fits("incident", cli("incident", "classify", *given, "--format", "json").json)
    fits("incident-plan", cli("incident", "recover", *given, "--format", "json").json)
    fits("incident-escalate", cli("incident", "escalate", *given, "--force", "--format", "json").json)
    fits("incident-lint", cli("incident", "lint", "curriculum-builder", "--captures", captured.parent, "--format", "json").json)


def _leaves(command, *words):
    """Yield every command that does something, by the words that it is called with."""
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            yield from _leaves(command.get_command(click.Context(command), name), *words, name)
    else:
        yield " ".join(words), command


def test_what_commands_of_work_items_print_fits_its_schema(cli, tmp_path, monkeypatch):
    """A ledger's beads, their log, convoys, an audit, an import, its repetition, an export and changes are what their schemas say."""
    monkeypatch.chdir(tmp_path)
    issue = {"id": "gt-1", "title": "Fix it", "status": "closed", "issue_type": "task", "priority": 1, "close_reason": "done"}
    times = {"created_at": "2026-11-19T10:00:00Z", "updated_at": "2026-11-19T11:00:00Z", "closed_at": "2026-11-19T11:00:00Z"}
    (tmp_path / "issues.jsonl").write_text(json.dumps(issue | times) + "\n")
    fits("beads-import", cli("beads", "import", "issues.jsonl", "--format", "json").json)
    with open_ledger(None) as ledger, ledger.writing() as connection:
        convoy = create(ledger, connection, "Ship", type="convoy")
    for words in (
        *(("list",), ("activity",), ("audit",), ("convoys",), ("show", "gt-1"), ("export", "ledger.jsonl")),
        *(("fail", convoy, "--reason", "dropped"), ("reopen", convoy, "--reason", "wanted again")),
    ):
        answer = cli("beads", *words, "--format", "json").json
        assert answer
        fits(f"beads-{words[0]}", answer)


def test_no_field_goes_or_changes_without_a_new_version():
    """Every field that a version of a document was recorded with is there with the same type; a field more is no new version.

    `python -m tests.support.schema_fields` records what is new: a document, a field, a version.
    """
    recorded = json.loads(RECORDED.read_text())
    assert recorded.keys() >= DOCUMENTS.keys(), "record the new document"
    lost = {}
    for name, before in recorded.items():
        now = fields_of(schema_of(name)) if name in DOCUMENTS and DOCUMENTS[name].version == before["version"] else None
        assert now is not None, f"{name} {before['version']} is not the version any more: record it"
        lost |= {f"{name}: {field}": (kind, now.get(field)) for field, kind in before["fields"].items() if now.get(field) != kind}
    assert lost == {}


def test_a_field_that_goes_or_changes_is_seen():
    """The record tells a field that is gone, one of another type and one inside a list apart from what is the same."""
    inner = {"type": "object", "properties": {"id": {"type": "string"}}}
    schema = {
        "properties": {"a": {"type": "integer"}, "rows": {"type": "array", "items": {"$ref": "#/$defs/Row"}}},
        "$defs": {"Row": inner},
    }
    assert fields_of(schema) == {"a": "integer", "rows": "array", "rows[]": "object", "rows[].id": "string"}
    assert fields_of({"properties": {"a": {"type": ["integer", "null"]}}}) == {"a": "integer or null"}


def test_a_schema_refuses_what_a_command_does_not_print(cli, store):
    """A field that is missing, unknown or of another type does not fit."""
    row = cli("triage-run", FAILED, "--source", store("fleet"), "--format", "json").json
    for change in ({"state": None}, {"surprise": 1}, {"recommendedAction": "pray"}, {"failingNodes": "two"}):
        with pytest.raises(ValidationError):
            fits("triage-run", deepcopy(row) | change)
    del row["state"]
    with pytest.raises(ValidationError):
        fits("triage-run", row)


def test_an_unknown_schema_is_refused(cli):
    """A wrong name ends with exit code 4 and the names that there are."""
    answer = cli("schema", "nosuch")
    assert answer.code == 4
    assert "triage-run" in answer.err
