"""The same operations on a journal in Postgres."""

from __future__ import annotations

from pathlib import Path

from smithers_nb.engine.control import answer, cancel, decide, frames_of, pending, reset_plan, resume, retry_task, rewind
from smithers_nb.engine.control.log import read_log
from smithers_nb.engine.control.run_state import status_of
from smithers_nb.engine.location import Location
from tests.support.history import Runs


def test_every_operation_works_on_postgres(postgres: str, tmp_path: Path, notebook: Path, refused) -> None:
    """Submit, decide, answer, retry, rewind, resume, cancel and read, as on SQLite."""
    runs = Runs(Location.of(tmp_path, database=postgres), notebook)
    location = runs.location
    runs.new("nightly-1")
    runs.new("nightly_2")
    runs.did("nightly-1", "load")
    runs.gate("nightly-1", "publish")
    question = runs.question("nightly_2", "region", {"type": "string"})
    assert [item.node_id for item in pending(location)] == ["publish", "region"]
    assert answer(location, question, "eu", by="Ann").continues
    assert decide(location, "nightly-1", approved=True, by="Ann").node.node_id == "publish"
    refused("ALREADY_DECIDED", decide, location, "nightly-1", "publish", approved=False, by="Bob")
    runs.failed("nightly-1", "send")
    assert [item.node.node_id for item in reset_plan(location, "nightly-1", "load").items] == ["load", "publish", "send"]
    retry_task(location, "nightly-1", "load")
    runs.did("nightly-1", "load", "send")
    assert [frame.node.node_id for frame in frames_of(location, "nightly-1")] == ["load", "send"]
    assert rewind(location, "nightly-1", "load").goes_to == 1
    assert status_of(location, "nightly-1") == "paused"
    assert resume(location, "nightly_").run_id == "nightly_2"
    assert cancel(location, "nightly-1").result == "cancelled"
    seen = read_log(runs.journal, "nightly-1")
    assert (seen.events[0].type, seen.events[-1].type, seen.status) == ("RunCreated", "RunCancelled", "cancelled")
    runs.journal.close()
