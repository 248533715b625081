"""Runs in a journal of ours, written the way an execution writes them."""

from __future__ import annotations

import sqlalchemy as sa

from smithers_nb.engine.journal import decisions, leases, records, schema, status
from smithers_nb.model.failure_reason import FailureReason

REASON = FailureReason(
    code="KeyError",
    message="'total'",
    source="node:sum",
    details={"stack": "Traceback (most recent call last):\n  File \"/p/sum.py\", line 3, in sum\nKeyError: 'total'"},
)


def write_run(journal, run_id, *, workflow="nightly", failed=True, **config):
    """Write a run with every kind of record: cells, stages, a gate, a question, an output, a diff, a score, a rewind, a child."""
    with journal.writing() as connection:
        config = {"rootDir": str(journal.location.root), **config}
        path = str(journal.location.root / f"{workflow}.ipynb")
        records.create_run(connection, records.NewRun(run_id, workflow, path, "hash", {"day": 3, "who": "ann"}, config))
    with journal.writing(run_id) as connection:
        status.set_status(connection, run_id, "running")
        load, total = records.Node(run_id, "load"), records.Node(run_id, "sum")
        attempt = records.start_attempt(connection, load, kind="cell", label="Load the orders")
        records.write_output(connection, load, "cell", {"text": "3 rows"})
        records.finish_attempt(connection, load, attempt)
        gate, question = records.Node(run_id, "ship"), records.Node(run_id, "who")
        decisions.request_approval(connection, gate, title="Ship it?", summary="three orders")
        decisions.decide(connection, gate, approved=True, by="ann", note="go")
        asked = decisions.request_answer(connection, question, prompt="For whom?", kind="select", schema=None, options=["ann", "bob"])
        decisions.answer(connection, asked, "bob", by="ann")
        node = {"run_id": run_id, "node_id": "load", "iteration": 0}
        connection.execute(
            schema.diffs.insert().values(**node, base_ref="HEAD", diff_json='{"patches":[]}', computed_at_ms=5, size_bytes=9)
        )
        score = {"scorer_id": "s", "scorer_name": "exact", "source": "live", "score": 0.5, "scored_at_ms": 6}
        connection.execute(schema.scores.insert().values(id=f"{run_id}-s", **node, attempt=1, **score))
        travel = {"from_frame_no": 3, "to_frame_no": 1, "caller": "ann", "timestamp_ms": 7, "result": "success"}
        connection.execute(schema.time_travel.insert().values(run_id=run_id, **travel))
        attempt = records.start_attempt(connection, total, kind="stage")
        if failed:
            records.fail_attempt(connection, total, attempt, REASON)
            status.set_status(connection, run_id, "failed", REASON)
        else:
            records.finish_attempt(connection, total, attempt)
            status.set_status(connection, run_id, "finished")


def run_ids(journal):
    """Name the runs that are there."""
    with journal.reading() as connection:
        return list(connection.execute(sa.select(schema.runs.c.run_id)).scalars())


def live_owner(journal):
    """Announce this process as one that executes notebooks."""
    owner = leases.new_owner()
    leases.register(journal, owner)
    return owner
