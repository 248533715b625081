"""Every JSON document fits the schema that `schema` prints for it, and a schema is not a rubber stamp."""

from __future__ import annotations

import json
import subprocess
import sys
from copy import deepcopy

import pytest
from jsonschema import Draft202012Validator, ValidationError

from smithers_nb.cli.schemas import DOCUMENTS, schema_of
from smithers_nb.engine.journal import Journal
from smithers_nb.engine.location import Location

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
    assert not [key for key in body["properties"] if "_" in key]


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
