"""The workflow `release-check`: what it finds in a real store, the page it writes, and its notebook."""

from __future__ import annotations

import json
from pathlib import Path

from smithers_nb.engine.journal.decisions import Decision
from smithers_nb.engine.notebook.file import read_notebook
from smithers_nb.engine.stages.codec import Shape
from smithers_nb.resources import example_store, resource
from smithers_nb.workflows.pack import release_check
from smithers_nb.workflows.pack.release_check import RecentFailures, ReleaseCheckParameters, recent_failures, write_summary

NOTEBOOK = resource("templates/pack/release-check.ipynb")
NOW = 1_795_200_000_000


def test_it_finds_what_failed_lately() -> None:
    """Only failed runs of the time that is looked at are found, newest first, with node and class."""
    day, ever = (recent_failures(str(example_store()), hours, now=NOW) for hours in (24.0, 1_000_000.0))
    assert 0 < day.count <= ever.count
    assert all(run.failed_at and run.failed_at >= day.since for run in day.runs)
    times = [run.failed_at for run in ever.runs]
    assert times == sorted(times, reverse=True)
    found = {run.run_id: run for run in ever.runs}["order-sync-013"]
    assert (found.workflow, found.node_id, found.failure_class) == ("order-sync", "normalize", "workflow-bug")
    assert f"{ever.count} runs have failed" in ever.summary
    assert "and " in ever.summary


def test_nothing_failed_reads_well() -> None:
    """A quiet time is said in a sentence, and one failure in the singular."""
    quiet = recent_failures(str(example_store()), 0.001, now=NOW + 10**12)
    assert (quiet.count, quiet.summary.startswith("No run has failed since 20")) == (0, True)
    one = RecentFailures(store="s", since=0, runs=recent_failures(str(example_store()), 1e6, now=NOW).runs[:1])
    assert one.question.startswith("1 run has failed")
    assert "No run has failed" in quiet._repr_mimebundle_()["text/html"]
    assert one.runs[0].run_id in one._repr_mimebundle_(include=None, exclude=None)["text/plain"]


def test_the_page_says_who_decided_what(tmp_path: Path) -> None:
    """The page holds decision, note, assessment and failures; a hostile release name stays in its folder."""
    found = recent_failures(str(example_store()), 1e6, now=NOW)
    summary = write_summary("../../1.4", found, "all\nknown", Decision(False, "not yet", "Ann", NOW), str(tmp_path))
    page = Path(summary.page)
    assert page.parent == tmp_path / "release-check"
    text = page.read_text("utf-8")
    for part in ("denied", "Ann", "not yet", "all known", "order-sync-013"):
        assert part in text
    assert (summary.approved, summary.failed_runs) == (False, found.count)


def test_stages_can_read_what_they_return() -> None:
    """What every stage function returns is found, so its output is validated by its model."""
    for function in (recent_failures, write_summary):
        assert hasattr(Shape.of(function).schema, "model_validate")


def test_the_notebook_is_thin_and_takes_what_the_model_says() -> None:
    """The shipped notebook has no outputs, short cells, and the parameters and defaults of its model."""
    node = json.loads(NOTEBOOK.read_text("utf-8"))
    assert all(not cell.get("outputs") and len("".join(cell["source"]).splitlines()) <= 10 for cell in node["cells"])
    taken = read_notebook(NOTEBOOK)
    defaults = {name: parameter.default for name, parameter in taken.parameters.items()}
    assert defaults == ReleaseCheckParameters().model_dump()
    assert all(parameter.meaning for parameter in taken.parameters.values())
    assert taken.settings["parameters"] == f"{release_check.__name__}:{ReleaseCheckParameters.__name__}"
