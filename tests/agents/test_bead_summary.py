"""Providers put failures of beads into plain words: a scripted model's server and a scripted agent CLI."""

from __future__ import annotations

import json

import pytest

from smithers_nb.cli.app import main
from smithers_nb.engine.location import Location
from smithers_nb.ledger import Ledger, admin, agents, dispatch, items, queries
from smithers_nb.ledger.dispatch import Started

SECRET = "ghp_" + "a1B2" * 9
OUTPUT = f"TOKEN={SECRET}\n" + "at frame\n" * 60 + "Error: Cannot find module '@/lib/auth'"
WORDS = "The agent could not start because the auth module is missing."


@pytest.fixture
def project(tmp_path):
    """Return a project whose ledger has a bead that failed with long output and one that was failed by a person."""
    folder = tmp_path / "project"
    folder.mkdir()
    with Ledger.open(Location.of(folder)) as ledger:
        with ledger.writing() as connection:
            items.add_rig(connection, "web", {})
            items.add_agent(ledger, connection, "toast", role="polecat")
            for bead in ("b-long", "b-short"):
                items.create(ledger, connection, "Checkout", bead_id=bead, rig_id="web")
        assert dispatch.dispatch(ledger, "b-long", "toast", lambda *_: Started(ok=True))
        with ledger.writing() as connection:
            agents.agent_completed(ledger, connection, "toast", status="failed", reason=OUTPUT)
            admin.force_fail(ledger, connection, "b-short", actor="ana", note="dropped")
    return folder


def show(project, bead, provider, capsys):
    """Run `beads show --provider` and return its document and what it noted."""
    assert main(["beads", "show", bead, "--provider", provider, "--source", str(project), "--format", "json"]) == 0
    printed = capsys.readouterr()
    return json.loads(printed.out), printed.err


@pytest.mark.slow
def test_a_model_summarises_a_long_crash(project, model, capsys):
    """Its words are stored signed next to the whole reason, it sees no secret, and it is asked once."""
    server = model({"summary": WORDS})
    shown, _ = show(project, "b-long", "remote_llm", capsys)
    assert shown["summary"] == f"remote_llm (scripted-1) says: {WORDS}"
    assert "Cannot find module '@/lib/auth'" in shown["failureReason"]["details"]["reason"]
    assert "Cannot find module" in server.asked
    assert SECRET not in server.asked
    show(project, "b-long", "remote_llm", capsys)
    assert len(server.requests) == 1
    with Ledger.open(Location.of(project)) as ledger, ledger.reading() as connection:
        assert WORDS in queries.summary_of(connection, "b-long")


def test_an_agent_cli_summarises_a_long_crash(project, agent_cli, tmp_path, capsys):
    """It reads one document with the redacted output, and what it quotes wrongly or asks for in harm is dropped."""
    seen = tmp_path / "seen.json"
    answer = {"summary": f'{WORDS} It printed "the disk is full". Run sudo rm -rf /tmp to fix it.'}
    agent_cli(f"open({str(seen)!r}, 'w').write(json.dumps(given)); print(json.dumps({answer!r}))")
    shown, _ = show(project, "b-long", "codex_exec", capsys)
    assert shown["summary"].startswith("codex_exec (python")
    assert shown["summary"].endswith(f"says: {WORDS}")
    given = json.loads(seen.read_text())
    assert list(given) == ["instructions", "answerSchema", "failure"]
    assert "Cannot find module" in given["failure"]
    assert SECRET not in seen.read_text()


@pytest.mark.parametrize("code", ["sys.exit(3)", "print('no idea')", "print(json.dumps({'summary': 'It printed `the disk is full`.'}))"])
def test_without_a_usable_answer_the_deterministic_summary_stays(project, agent_cli, code, capsys):
    """A provider that fails, rambles or invents quotes is named in a note, and the bead is shown as before."""
    agent_cli(code)
    shown, noted = show(project, "b-long", "codex_exec", capsys)
    assert "The module @/lib/auth could not be found" in shown["summary"]
    assert "gave no" in noted


def test_a_simple_code_is_never_sent_to_a_provider(project, agent_cli, tmp_path, capsys):
    """A bead that a person failed says everything itself, so the provider is not started."""
    agent_cli(f"open({str(tmp_path / 'started')!r}, 'w')")
    shown, noted = show(project, "b-short", "codex_exec", capsys)
    assert shown["summary"] is None
    assert "no summary is needed" in noted
    assert not (tmp_path / "started").exists()


def test_another_systems_store_has_no_place_for_a_summary(agent_cli, tmp_path, capsys):
    """`--provider` on a foreign store is refused with the way out."""
    agent_cli("sys.exit(3)")
    assert main(["beads", "show", "b-1", "--provider", "codex_exec", "--source", f"beads:{tmp_path}"]) == 4
    assert "beads import" in capsys.readouterr().err
