"""The quick answer: the same suggestion as the long one, and a page that says nothing twice."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smithers_nb.cli.look.why import explanation_page
from smithers_nb.sources.locate import open_source
from smithers_nb.sources.snapshot import Snapshot
from smithers_nb.workflows.autopsy.stages import run_autopsy
from smithers_nb.workflows.autopsy.why import explain
from tests.support.data import DATA

NOW = 1_795_300_000_000

MENDED = DATA / "fleet-ledger-close.tsx"


@pytest.fixture
def page(store: Callable[[str], Path]) -> Callable[..., str]:
    """Lay out why a run of a store is as it is."""

    def lay_out(name: str, run_id: str, **options: Any) -> str:
        seen = Snapshot(open_source(store(name)), run_id)
        return "\n".join(explanation_page(explain(seen, now=NOW, **options), seen.run, NOW))

    return lay_out


@pytest.mark.parametrize(
    ("name", "run_id"),
    [
        ("retry-task", "871637af"),
        ("replayed-error", "9c2155f7"),
        ("pricing", "price-1"),
        ("pricing", "price-2"),
        ("fleet", "close-004"),
        ("grandchild", "42e247d1-4566-4e89-8975-01820d936847"),
        ("test-writer", ""),
    ],
)
def test_why_and_autopsy_suggest_the_same(store: Callable[[str], Path], name: str, run_id: str) -> None:
    """What was tried in vain counts for both, and both print the same commands."""
    source = open_source(store(name))
    run_id = run_id or source.run_ids()[0]
    quick, long = explain(Snapshot(source, run_id), now=NOW).advice, run_autopsy(source, run_id, now=NOW)
    assert quick is not None
    assert (quick.suggestion, quick.detail, quick.commands) == (long.suggestion, long.suggestion_detail, long.commands)


def test_a_retry_in_vain_is_not_suggested_again(store: Callable[[str], Path]) -> None:
    """`price-1` was resumed and retried: the quick answer knows, without frames."""
    advice = explain(Snapshot(open_source(store("pricing")), "price-1"), now=NOW).advice
    assert advice is not None
    assert advice.suggestion not in {"retry", "resume"}


def test_why_needs_no_pandas(store: Callable[[str], Path]) -> None:
    """Asking what was tried before keeps the quick answer quick."""
    code = (
        "import sys\nfrom smithers_nb.cli import main\n"
        f"assert main(['why', 'price-1', '--source', {str(store('pricing'))!r}]) == 0\n"
        "assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


def test_the_explained_node_has_not_also_failed(store: Callable[[str], Path]) -> None:
    """A node of a later iteration is named `NODE#ITERATION` among the failed ones."""
    source = open_source(store("lint-fixer"))
    seen = Snapshot(source, source.run_ids()[0])
    known = explain(seen, now=NOW)
    assert known.failure is not None
    again = replace(known, failed_nodes=("check#3", "other#1"), failure=replace(known.failure, node_id="check", iteration=3))
    lines = [line for line in explanation_page(again, seen.run, NOW) if "Also failed" in line]
    assert len(lines) == 1
    assert "check#3" not in lines[0]
    assert "other#1" in lines[0]


def test_an_edited_workflow_is_explained_once(page: Callable[..., str]) -> None:
    """No command that would be refused, and what the switch means is said."""
    told = page("fleet", "close-004", workflow_path=MENDED)
    assert told.count("retry-task /") == told.count("--node-id post-entries --accept-workflow-change") == 1
    assert "you confirm" in " ".join(told.split())


def test_a_suggested_command_is_not_printed_again(page: Callable[..., str]) -> None:
    """The blocker of the task that the page is about is the suggestion itself."""
    told = page("retry-task", "871637af")
    assert told.count("retry-task /") == 1


def test_a_waiting_run_says_where_to_run_its_commands(page: Callable[..., str]) -> None:
    """A gate has no suggestion that could name the folder."""
    assert "Run the commands in /srv/ws/mail-merge" in " ".join(page("unsafe-repeat", "b2facd58").split())


def test_an_explanation_shows_itself(store: Callable[[str], Path]) -> None:
    """In a notebook the answer is a card with the reason and the commands, in a terminal one line."""
    source = open_source(store("invoice-rollup"))
    told = explain(Snapshot(source, "e287"), now=NOW)
    source.close()
    assert "rollup" in told._repr_html_()
    assert "smithers-orchestrator up" in told._repr_html_()
    assert repr(told).startswith("Explanation(")


def test_an_inconclusive_investigation_says_what_it_looked_at(store: Callable[[str], Path]) -> None:
    """The counts are those of the run's rows."""
    path = store("page-harvest")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE _smithers_attempts SET error_json = NULL")
        connection.execute("UPDATE _smithers_runs SET error_json = NULL")
        connection.execute("DELETE FROM _smithers_events WHERE type IN ('NodeFailed', 'RunFailed')")
        connection.commit()
    snapshot = Snapshot(open_source(path), "page-harvest-1")
    cause = explain(snapshot, now=0).root_cause
    assert f"What was looked at without finding more: attempts {len(snapshot.attempts)}, events {len(snapshot.events)}," in cause
