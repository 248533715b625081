"""The first sentence of a verdict tells what lies behind the symptom, on runs that really failed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from smithers_nb.diagnosis.history.good_frame import good_frame
from smithers_nb.model.verdict import Evidence
from smithers_nb.sources.locate import open_source
from smithers_nb.sources.snapshot import Snapshot
from smithers_nb.workflows.autopsy.why import explain
from tests.support.data import DATA

NOW = 1_796_100_000_000


@pytest.mark.parametrize(
    ("name", "first", "suggestion"),
    [
        ("renewal-date", "`schedule` reads `due` in the answer of a person to `ask-due`, which is `31/02/2027`", "edit-workflow-and-reset"),
        (
            "stock-publish",
            "`publish-stock` misses `/srv/ws/stock-publish/stock.csv`, which the error of `extract-stock`",
            "fix-environment",
        ),
        (
            "charter-review",
            "`review` rejected the work of the loop 6 times in a row in the same words: section 4",
            "edit-workflow-and-reset",
        ),
        (
            "price-double",
            "`double` reads `total` of `add-up`, which it does not have in this run; it has `totals`",
            "edit-workflow-and-reset",
        ),
        ("address-label", "`print-label` reads `customer.address` of the input, which is null", "edit-workflow-and-reset"),
        ("page-harvest", "`add-up` reads `page` of `scout-pages`, which is null in this run; every earlier answer", "rewind"),
        (
            "draft-polish",
            "The loop goes on until `(l?.score ?? 0) >= 0.8`; in its last round `score` of `grade-draft` was `0.62`",
            "edit-workflow-and-reset",
        ),
    ],
)
def test_the_origin_comes_first(store: Callable[[str], Path], tmp_path: Path, name: str, first: str, suggestion: str) -> None:
    """What a person, an input, a tolerated failure, a loop or a renamed field did is told before what broke on it."""
    workflow = shutil.copy(DATA / f"{name}.tsx", tmp_path)
    why = explain(Snapshot(open_source(store(name)), f"{name}-1"), now=NOW, workflow_path=Path(workflow))
    assert why.root_cause.startswith(first)
    assert why.advice is not None
    assert why.advice.suggestion == suggestion


def test_an_empty_list_that_the_task_knows_by_another_name(store: Callable[[str], Path], tmp_path: Path) -> None:
    """The dependency is followed through `needs`, and told with what the list and the input were when the workflow last worked."""
    workflow = shutil.copy(DATA / "release-branch.tsx", tmp_path)
    run = Snapshot(open_source(store("release-branch")), "release-branch-2")
    why = explain(run, now=NOW, workflow_path=Path(workflow))
    assert why.root_cause.startswith(
        "`pick-branch` reads `items` of `list-branches`, which is an empty list in this run; in the last good run (release-branch-1) it "
        "was a list; the input changed from `team=core` to `team=zeta`."
    )
    assert why.classification is not None
    assert why.classification.confidence == "high"
    assert explain(run, now=NOW).root_cause.startswith("`pick-branch` reads `items` of `list-branches`, which is an empty list")


def test_a_run_that_an_agent_spoiled_is_rewound_to_the_frame_before(store: Callable[[str], Path]) -> None:
    """The rows name the frame; the real CLI accepts the command, and a resume then finished the run."""
    why = explain(Snapshot(open_source(store("page-harvest")), "page-harvest-1"), now=NOW)
    assert why.advice is not None
    assert (why.failure_class, why.classification and why.classification.confidence) == ("agent-flake", "medium")
    assert why.advice.commands[0].endswith(" rewind page-harvest-1 7 --yes")
    assert "event:61" in [item.ref for item in why.evidence]


def test_an_edit_is_advised_where_a_rewind_would_fail_or_the_code_never_worked(store: Callable[[str], Path]) -> None:
    """A list among the outputs cannot be restored; an answer of the first round has none before it; no round of the reader worked."""
    run = Snapshot(open_source(store("page-harvest")), "page-harvest-1")
    lack = Evidence(ref="node:scout-pages/2", quote="page")
    assert good_frame(run, lack, "add-up") is not None
    assert good_frame(run, lack, "another") is None
    assert good_frame(run, replace(lack, ref="node:scout-pages/0"), "add-up") is None
    run.outputs.append(run.outputs[0]._replace(row='{"pages": ["/a"]}'))
    assert good_frame(run, lack, "add-up") is None


def test_a_fresh_run_gets_an_object_as_an_object(store: Callable[[str], Path]) -> None:
    """The engine keeps an object of an input as text; printed as text it would be refused by the workflow's schema."""
    advice = explain(Snapshot(open_source(store("address-label")), "address-label-1"), now=NOW).advice
    assert advice is not None
    assert advice.commands[-1].endswith("""--input '{"customer": {"name": "Ana", "address": null}}'""")


def test_of_a_program_the_error_is_quoted_and_not_its_command_line(store: Callable[[str], Path]) -> None:
    """A long command line leaves room for what the program said."""
    assert "can't open file" in explain(Snapshot(open_source(store("stock-publish")), "stock-publish-1"), now=NOW).root_cause
