"""How often a failure came back, and what it cost."""

from __future__ import annotations

import pytest

from smithers_nb.diagnosis.classify.failure_table import failure_rows
from smithers_nb.diagnosis.history.cost import cost
from smithers_nb.diagnosis.history.recurrence import recurrence, signatures_table, streaks
from smithers_nb.model.rows import AttemptRow, FailureRow, TokenRow
from smithers_nb.sources.smithers.source import SmithersSource


@pytest.fixture
def told(run, attempt, any_row):
    """Make runs, attempts, tokens and failures from (run, workflow, node, signature), one second and ten tokens each."""

    def make(*rows):
        ids = dict.fromkeys((r, w) for r, w, _, _ in rows)
        runs = [run(run_id=r, workflow=w, started_at=i + 1, finished_at=i + 2) for i, (r, w) in enumerate(ids)]
        tries = [attempt(n, 1, run_id=r, duration_s=1.0) for r, _, n, _ in rows if n]
        tokens = [any_row(TokenRow, run_id=a.run_id, node_id=a.node_id, attempt=1, input_tokens=7, output_tokens=3) for a in tries]
        failed = [
            any_row(FailureRow, run_id=r, node_id=n, iteration=0, attempt=1, at=i + 1, signature=s, failure_class="unknown", message="m")
            for i, (r, _, n, s) in enumerate(rows)
            if s
        ]
        return runs, tries, tokens, failed

    return make


def test_a_signature_is_counted_over_the_whole_store(told):
    """Count, runs, ids from the newest, first and last time, and what the attempts cost."""
    _, attempts, tokens, failed = told(("a", "w", "n", "s"), ("a", "w", "m", "s"), ("b", "w", "n", "t"), ("c", "v", "n", "s"))
    found = recurrence(failed, "s", tokens, attempts=attempts)
    assert (found.count, found.runs, found.run_ids) == (3, 2, ("c", "a"))
    assert (found.first_at, found.last_at) == (1, 4)
    assert (found.wall_s, found.tokens) == (3.0, 30)


def test_a_signature_that_never_occurred_counts_nothing(told):
    """Zero is an answer."""
    _, attempts, tokens, failed = told(("a", "w", "n", "s"))
    found = recurrence(failed, "other", tokens, attempts=attempts)
    assert (found.count, found.runs, found.first_at, found.wall_s, found.tokens) == (0, 0, None, 0.0, 0)


def test_tokens_are_counted_without_attempts_and_time_without_tokens(told):
    """What is not given is not counted, and nothing breaks."""
    _, attempts, tokens, failed = told(("a", "w", "n", "s"))
    assert recurrence(failed, "s", tokens).tokens == 10
    assert recurrence(failed, "s", attempts=attempts).wall_s == 1.0
    assert recurrence(failed, "s").wall_s == 0.0


def test_a_failure_of_the_run_itself_costs_no_attempt(told, any_row):
    """A structural error has no attempt to add up."""
    _, attempts, tokens, _ = told(("a", "w", "n", ""))
    failed = [any_row(FailureRow, run_id="a", at=1, signature="s")]
    assert recurrence(failed, "s", tokens, attempts=attempts).wall_s == 0.0


def test_the_table_has_one_row_per_signature(told):
    """Most runs first; nodes and workflows it hit, and what was lost."""
    runs, attempts, tokens, failed = told(("a", "w", "n", "s"), ("b", "w", "n", "s"), ("c", "v", "n", "s"), ("c", "v", "n", "t"))
    table = signatures_table(failed, runs, attempts=attempts, tokens=tokens)
    assert [row.signature for row in table] == ["s", "t"]
    assert (table[0].count, table[0].runs, table[0].nodes, table[0].workflows) == (3, 3, 2, 2)
    assert table[1].wall_s == 1.0


def test_a_streak_is_unbroken_up_to_the_newest_run(told):
    """Two newest runs of w met s; in v the newest met something else, so no streak of s is left there."""
    runs, _, _, failed = told(("a", "w", "n", "t"), ("b", "w", "n", "s"), ("c", "w", "n", "s"), ("d", "v", "n", "s"), ("e", "v", "n", "t"))
    assert streaks(failed, runs) == {"s": (2, "w"), "t": (1, "v")}


def test_what_the_table_is_not_given_is_unknown(told):
    """Without attempts and tokens what was lost is None, not nothing; a signature the newest runs did not meet has no streak."""
    runs, _, _, failed = told(("a", "w", "n", "s"), ("b", "w", "n", ""))
    (row,) = signatures_table(failed, runs)
    assert (row.wall_s, row.tokens, row.streak, row.streak_of) == (None, None, 0, None)


def test_the_newest_failure_names_a_signature(told):
    """Class and message are those of the newest failure, whatever the order of the rows."""
    runs, _, _, failed = told(("a", "w", "n", "s"), ("b", "w", "n", "s"))
    failed = [row._replace(message=text) for row, text in zip(failed, ("old", "new"), strict=True)]
    assert [row.message for row in signatures_table(failed[::-1], runs)] == ["new"]


def test_an_empty_store_has_an_empty_table():
    """Nothing in, nothing out."""
    assert signatures_table([], []) == []


def test_cost_tells_what_failed_of_what_was_spent(told):
    """All of it, and the part of one signature."""
    _, attempts, tokens, failed = told(("a", "w", "n", "s"), ("a", "w", "m", ""), ("b", "w", "n", "t"))
    whole, one, run = (
        cost(attempts, tokens, failed),
        cost(attempts, tokens, failed, signature="s"),
        cost(attempts, tokens, failed, run_id="b"),
    )
    assert (whole.runs, whole.attempts, whole.wall_s, whole.tokens, whole.failed_attempts) == (2, 3, 3.0, 30, 2)
    assert (one.runs, one.attempts, one.failed_attempts, one.failed_tokens, one.failed_wall_s, one.wall_s) == (1, 2, 1, 10, 1.0, 2.0)
    assert (run.attempts, run.failed_wall_s) == (1, 1.0)


def test_what_is_not_known_costs_nothing(attempt, any_row):
    """An attempt without tokens, without one of their counts, or still under way adds nothing of that."""
    tries = [attempt("n", 1, duration_s=2.0), attempt("n", 2, duration_s=None), attempt("m", 1, duration_s=1.0)]
    tokens = [
        any_row(TokenRow, run_id="r", node_id="n", attempt=1, input_tokens=7, output_tokens=None),
        any_row(TokenRow, run_id="r", node_id="n", attempt=2, input_tokens=None, output_tokens=4),
    ]
    spent = cost(tries, tokens, [])
    assert (spent.attempts, spent.wall_s, spent.tokens, spent.failed_attempts) == (3, 3.0, 11, 0)


def test_nothing_spent_is_nothing():
    """An empty store costs nothing."""
    assert cost([], [], []).wall_s == 0.0


def test_a_real_store_adds_up(store):
    """What the failed attempts cost is what their rows say."""
    source = SmithersSource(store("pricing"))
    attempts, failed = source.rows(AttemptRow), failure_rows(source)
    found = recurrence(failed, failed[0].signature, source.rows(TokenRow), attempts=attempts)
    lost = sum(row.duration_s or 0.0 for row in attempts if row.node_id == "quote" and row.state != "finished")
    assert (found.count, found.runs) == (12, 5)
    assert found.wall_s == pytest.approx(lost)
    source.close()


def test_a_failure_two_subflows_down_is_one_incident(told):
    """What each run on the way to a child repeats counts once, under the run that somebody launched."""
    ids = ("a", "a:child:sub:0", "a:child:sub:0:child:deep:0", "b")
    runs, _, _, failed = told(*((run_id, "w", "n", "s") for run_id in ids))
    assert recurrence(failed, "s").runs == 2
    assert recurrence(failed, "s").run_ids == ("b", "a")
    assert [row.runs for row in signatures_table(failed, runs)] == [2]
