"""Commands of a provider: known verbs, rows that exist, nothing for a shell."""

from __future__ import annotations

import sqlite3

import pytest

from smithers_nb.agents.verification.command_policy import is_looking, judged
from smithers_nb.agents.verification.evidence_index import Record
from smithers_nb.sources.locate import open_source
from smithers_nb.sources.snapshot import Snapshot

CLI = "bunx smithers-orchestrator"
LETTERS = "b2facd58-f545-4f23-bf31-ed0b3091e0b6"
PATH = "/srv/ws/acme-platform/.smithers/workflows/order-sync.tsx"


def decide(record, line, offered=()):
    return judged(line, record, offered=offered, workflow_path=PATH)


@pytest.mark.parametrize(
    "line",
    [
        f"{CLI} inspect order-sync-013",
        f"{CLI} events order-sync-013 --json --limit 100000",
        f"{CLI} node normalize --run-id order-sync-013 --attempts --tools",
        f"{CLI} retry-task {PATH} --run-id order-sync-013 --node-id fetch-orders",
        f"{CLI} up {PATH} --run-id order-sync-013 --resume true",
    ],
)
def test_a_plain_line_about_rows_that_exist_is_kept(record, line):
    """The line comes back as our own module prints it."""
    assert decide(record, line) == (line, "")
    assert decide(record, f"$ {line.replace('order-sync-013', chr(39) + 'order-sync-013' + chr(39))} ") == (line, "")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("rm -rf /", "not a command of bunx"),
        ("", "not a command of bunx"),
        (CLI, "not a command of bunx"),
        ("bunx other-package inspect order-sync-013", "not a command of bunx"),
        (f"{CLI} inspect order-sync-013; rm -rf ~", "shell"),
        (f"{CLI} inspect order-sync-013 && rm -rf ~", "shell"),
        (f"{CLI} inspect order-sync-013 | sh", "shell"),
        (f"{CLI} inspect $(rm -rf ~)", "shell"),
        (f"{CLI} inspect `id`", "shell"),
        (f"{CLI} inspect order-sync-013 > /etc/passwd", "shell"),
        (f"{CLI} inspect order-sync-013\nrm -rf ~", "shell"),
        (f"{CLI} inspect 'order-sync-013", "quotation marks"),
        (f"{CLI} approve order-sync-013 --node gate", "'approve' is not among"),
        (f"{CLI} deny order-sync-013 --node gate", "'deny' is not among"),
        (f"{CLI} human answer X --value yes", "'human' is not among"),
        (f"{CLI} cancel order-sync-013", "'cancel' is not among"),
        (f"{CLI} rewind order-sync-013 0 --yes", "'rewind' is not among"),
        (f"{CLI} --mcp", "'--mcp' is not among"),
        (f"{CLI} inspect order-sync-001", "there is no run"),
        (f"{CLI} inspect", "there is no run"),
        (f"{CLI} node nobody --run-id order-sync-013", "has no node 'nobody'"),
        (f"{CLI} node normalize --run-id order-sync-013 --iteration 7", "in iteration 7"),
        (f"{CLI} node normalize --run-id order-sync-013 --iteration x", "not a number"),
        (f"{CLI} node normalize --run-id order-sync-013 --iteration {'9' * 5_000}", "not a number"),
        (f"{CLI} node normalize --run-id", "--run-id has no value"),
        (f"{CLI} inspect order-sync-013 --force", "'--force' is not an option"),
        (f"{CLI} up {PATH} --run-id order-sync-013 --resume true --force", "'--force'"),
        (f"{CLI} up {PATH} --input x", "'--input'"),
        (f"{CLI} up {PATH}", "a fresh run"),
        (f"{CLI} up /tmp/evil.tsx --run-id order-sync-013 --resume true", "a workflow other than"),
        (f"{CLI} retry-task {PATH} --run-id order-sync-012 --node-id normalize", "not about run"),
        (f"{CLI} retry-task {PATH} --run-id order-sync-013 --node-id nobody", "has no node"),
    ],
)
def test_everything_else_is_refused_with_a_reason(record, line, why):
    """Other programs, shell characters, decisions of people, unknown rows and flags never get printed."""
    line, refusal = decide(record, line)
    assert line == ""
    assert why in refusal


def test_what_our_own_advice_offers_may_be_said(record):
    """An exact line of the deterministic advice is kept, though its input has characters of a shell."""
    fresh = f'{CLI} up {PATH} --input \'{{"day": "2026-11-19"}}\''
    assert decide(record, fresh).refusal
    assert decide(record, fresh, offered=[fresh]) == (fresh, "")


def test_an_edited_workflow_is_left_to_the_rules(record):
    """When the workflow was edited, a line that starts work is only kept as the rules print it."""
    line = f"{CLI} retry-task {PATH} --run-id order-sync-013 --node-id normalize"
    assert "edited" in decide(record, line, offered=[f"{line} --accept-workflow-change"]).refusal


def test_what_waits_or_would_repeat_is_not_started(store):
    """A run that still waits is not started again, and one that has failed not where that repeats something done outside of it."""
    path = store("unsafe-repeat")
    line = f"{CLI} retry-task {PATH} --run-id {LETTERS} --node-id send-letters"
    for status, why in (("waiting-approval", "the run is still going"), ("failed", "it would repeat what send-letters did")):
        connection = sqlite3.connect(path)
        connection.execute("UPDATE _smithers_runs SET status = ?", (status,))
        connection.commit()
        connection.close()
        source = open_source(path)
        assert why in judged(line, Record(Snapshot(source, LETTERS)), offered=(), workflow_path=PATH).refusal
        source.close()


def test_looking_changes_nothing():
    """Verbs that only show something are told from those that start work."""
    assert is_looking(f"{CLI} inspect order-sync-013")
    assert not is_looking(f"{CLI} retry-task {PATH}")
    assert not is_looking("printf x")
