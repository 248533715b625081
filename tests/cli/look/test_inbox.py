"""`inbox` and `addressed` on the command line."""

from __future__ import annotations

import click
import pytest

from smithers_nb.cli.agent_tools import Looker
from smithers_nb.cli.text_page import Sheet
from smithers_nb.engine.journal import Journal
from smithers_nb.engine.location import Location
from smithers_nb.errors import SourceError

NOW = 1795181301665
SINCE = ("--now", NOW, "--since", "2026-11-01")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A project of its own to be in."""
    project = tmp_path / "here"
    (project / ".smithers_nb").mkdir(parents=True)
    monkeypatch.chdir(project)
    return project


def test_a_page(cli, example, here):
    """The page says what is asked, since when, what follows, and the commands; looking writes nothing."""
    answer = cli("inbox", example, *SINCE)
    assert answer.code == 0
    assert "APPROVE release-gate release-gate-035  approve-release" in answer.out
    assert "bunx smithers-orchestrator approve release-gate-035 --node approve-release" in answer.out
    assert "(3 runs, same cause)" in " ".join(answer.out.split())
    assert list((here / ".smithers_nb").iterdir()) == []


def test_several_places(cli, own_example, tmp_path, journal_runs):
    """Stores of different engines are one list; a place that cannot be read takes nothing from the others."""
    (tmp_path / "ours" / ".smithers_nb").mkdir(parents=True)
    location = Location.of(tmp_path / "ours")
    with Journal.open(location) as journal:
        journal_runs.write_run(journal, "n1")
    answer = cli("inbox", own_example, location.root, tmp_path / "gone", "--since", "2026-11-01", "--now", "2027-01-01", "--format", "json")
    assert answer.code == 0
    assert {need["engine"] for need in answer.json} == {"smithers", "journal"}
    assert "left out" in answer.err


def test_no_place_that_can_be_read_is_no_empty_inbox(cli, tmp_path):
    """When none of the places can be read the inbox fails, since nobody knows whether something needs a person."""
    for fmt in ("table", "json"):
        answer = cli("inbox", tmp_path / "gone", tmp_path / "away", "--format", fmt)
        assert (answer.code, answer.out) == (4, "")
        assert f"there is no {tmp_path / 'gone'}" in answer.err
    with pytest.raises(SourceError):
        Looker(str(tmp_path / "gone")).inbox()


def test_an_empty_inbox_names_its_limit(cli, example):
    """An empty page says from when on failures are listed."""
    answer = cli("inbox", example, "--now", "2026-01-01", "--since", "2025-12-01")
    assert answer.out == "Nothing needs you. Failures before 2025-12-01 00:00:00 UTC are not listed; --since sets another time.\n"


def test_a_heading_without_a_node_has_no_gap():
    """A part that is empty, such as the node of a run that failed itself, takes no room in a heading."""
    sheet = Sheet()
    sheet.heading("FAILED nightly run-1", "", "for 2 d", "dbos")
    assert [click.unstyle(line) for line in sheet.lines] == ["FAILED nightly run-1  for 2 d  dbos"]


def test_what_is_put_aside_is_written_here(cli, own_example, here):
    """`addressed` and `--snooze` hide a line, with who and why under --all, and leave the target's store as it was."""
    before = own_example.read_bytes()
    assert cli("addressed", "order-sync-010", "--note", "port opened", "--by", "ann", "--source", own_example).code == 0
    found = cli("inbox", own_example, *SINCE, "--snooze", "release-gate-035", "4h", "--by", "bob", "--format", "json").json
    shown = {need["runId"] for need in found}
    assert not {"order-sync-010", "release-gate-035"} & shown
    everything = {need["runId"]: need["putAside"] for need in cli("inbox", own_example, *SINCE, "--all", "--format", "json").json}
    assert everything["order-sync-010"] == "addressed by ann: port opened"
    assert everything["release-gate-035"] == "snoozed by bob"
    assert own_example.read_bytes() == before
    assert [path.name for path in own_example.parent.iterdir() if path.name.startswith(own_example.name)] == [own_example.name]
    assert (here / ".smithers_nb" / "journal.db").exists()


@pytest.mark.parametrize(
    "words", [["addressed", "nobody", "--note", "x"], ["inbox", "--snooze", "nobody", "4h"], ["addressed", "order-sync-010"]]
)
def test_what_cannot_be_put_aside(cli, own_example, words):
    """A run that is not there, or a missing note, is an error of the user."""
    assert cli(*words, "--source", own_example).code == 4
