"""The standing questions, on runs of the real CLI: each question and gate once, with its answer and who gave it."""

from __future__ import annotations

import json

import pytest

from smithers_nb.engine.journal import Journal
from smithers_nb.engine.location import Location
from smithers_nb.sources.locate import open_source
from smithers_nb.sources.snapshot import Snapshot
from smithers_nb.workflows.monitor.code_changes import code_changes
from smithers_nb.workflows.monitor.standing import gates, key_outputs, questions, scores


@pytest.fixture
def run(corpus_store, corpus):
    """Open the run that a case is about."""

    def look(name):
        label = json.loads((corpus / "smithers" / name / "label.json").read_text())
        return Snapshot(open_source(corpus_store(name)), label["run_id"])

    return look


def test_a_decided_gate(run):
    """A gate has its decision, the note, who and when."""
    (gate,) = gates(run("d47"))
    assert (gate.approved, gate.decided_by, gate.note) == (True, "maria@example.com", "Looks good, ship after 5pm")
    assert gate.decided_at == 1795180007786


def test_a_denied_gate(run):
    """A denial is a decision."""
    (gate,) = gates(run("d48"))
    assert (gate.approved, gate.decided_by, gate.pending) == (False, "cfo", False)


def test_a_gate_that_only_its_output_row_knows(run):
    """A gate that was skipped by its own condition was decided by nobody, and its row is no output besides."""
    seen = run("d49")
    (gate,) = gates(seen)
    assert (gate.node_id, gate.approved, gate.decided_by) == ("gate-deploy", True, "auto")
    assert "gate-deploy" not in {output.node_id for output in key_outputs(seen)}


def test_an_answered_question_is_no_gate_as_well(run):
    """A human task is one question with its answer, and the approval that the engine keeps for it is not listed again."""
    seen = run("d51")
    (asked,) = questions(seen)
    assert (asked.answer["comments"], asked.answered_by, asked.pending) == ("Spacing is fine now", "tom", False)
    assert gates(seen) == ()


def test_a_pending_signal(run):
    """What a run waits for from outside is a question without an answer."""
    (asked,) = questions(run("d52"))
    assert (asked.signal, asked.correlation, asked.pending, asked.answer) == ("payment-settled", "ord-778", True, None)


def test_a_pending_gate(run):
    """Nobody has decided it, so there is no decision and nobody who made it."""
    (gate,) = gates(run("d46"))
    assert (gate.pending, gate.approved, gate.decided_by) == (True, None, None)


def test_outputs_of_a_loop_are_those_of_its_newest_round(run):
    """A task in a loop is one output, and it says how many rounds there were."""
    outputs = {output.node_id: output for output in key_outputs(run("d60"))}
    assert any("newest of 5" in output.summary for output in outputs.values())


def test_scores_and_diffs(run):
    """Scores are as recorded; a diff is the stored one, or the reason why there is none."""
    assert {score.name for score in scores(run("d54"))} == {"Brevity", "Latency", "Schema Adherence"}
    (stored,) = code_changes(run("d65"))
    assert (stored.origin, stored.files) == ("stored", ("src/flags.ts", "test/flags.test.ts"))
    (missing,) = code_changes(run("d62"))
    assert missing.origin == "none"
    assert "/srv/ws/.wt/rename-flag is not on this machine" in missing.summary


def test_a_worktree_on_this_machine_is_asked(run, tmp_path):
    """Where the agent's folder is here, git tells what it changed, new files among it, and nothing in it is written."""
    import subprocess

    seen, tree = run("d62"), tmp_path / "tree"
    subprocess.run(["git", "init", "-q", tree], check=True)
    (tree / "a.py").write_text("one\n")
    git = ["git", "-C", tree, "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "first"], check=True)
    (tree / "a.py").write_text("one\ntoken = 'ghp_abcdefghijklmnopqrstuvwxyz0123456789'\n")
    (tree / "b.py").write_text("new\n")
    index = (tree / ".git" / "index").read_bytes()
    seen.__dict__["run"] = seen.run._replace(revision=None)
    seen.__dict__["attempts"] = [row._replace(cwd=str(tree)) for row in seen.attempts]
    (change,) = code_changes(seen)
    assert (change.origin, change.files) == ("git", ("a.py", "b.py"))
    assert "+token" in change.excerpt
    assert "ghp_" not in change.excerpt
    assert (tree / ".git" / "index").read_bytes() == index


def test_a_run_of_ours(tmp_path, journal_runs):
    """The same questions are answered for a run of the journal."""
    location = Location.of(tmp_path)
    with Journal.open(location) as journal:
        journal_runs.write_run(journal, "n1")
    seen = Snapshot(open_source(location.file), "n1")
    assert [(gate.title, gate.decided_by, gate.note) for gate in gates(seen)] == [("Ship it?", "ann", "go")]
    assert [(asked.prompt, asked.answer, asked.answered_by) for asked in questions(seen)] == [("For whom?", "bob", "ann")]
    assert [score.score for score in scores(seen)] == [0.5]
