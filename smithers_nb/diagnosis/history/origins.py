"""What lies behind a failure, in words, and everything that may be looked at to find it.

Gets the failure, the runs from the one asked about down to the one it happened in, and the last good run; gives the clauses that
every origin may end with: which input fields differ, and whether the workflow was edited.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from smithers_nb.diagnosis.engines.workflow_edits import recorded_hash
from smithers_nb.model.verdict import Evidence

if TYPE_CHECKING:
    from smithers_nb.diagnosis.failure.expression import Access
    from smithers_nb.diagnosis.history.good_frame import GoodFrame
    from smithers_nb.diagnosis.history.known_values import Known
    from smithers_nb.diagnosis.history.since_good import Comparison
    from smithers_nb.model.verdict import Change, Classification, Failure
    from smithers_nb.sources.snapshot import Snapshot

HASH: Final = "workflow hash"
FEW: Final = 3


class Origin(NamedTuple):
    """What lies behind a failure.

    Attributes:
        text: In one sentence.
        kind: `upstream`, `tolerated`, `answer`, `input`, `changed` or `outside`.
        evidence: The rows that prove it.
        producer: Node whose output or answer is at fault; empty for none.
        good_input: Input fields that differ from the last good run, with the values they had there.
        good_run: That run, where there is such input.
        good_frame: The frame before an agent's answer that lacks what its earlier ones had.
    """

    text: str
    kind: str
    evidence: tuple[Evidence, ...] = ()
    producer: str = ""
    good_input: dict[str, Any] | None = None
    good_run: str = ""
    good_frame: GoodFrame | None = None


class Scene(NamedTuple):
    """Everything that may be looked at.

    Attributes:
        failure: The failure that mattered.
        runs: The runs from the one asked about down to the one that failed.
        access: What the failing expression read.
        past: The last good run beside this one.
        known: Every value that the failing task could have got.
        line: The line of source that threw.
        source: The workflow's text up to that line.
        whole: All of that text.
    """

    failure: Failure
    runs: list[Snapshot]
    access: Access | None
    past: Comparison | None
    known: list[Known]
    line: str = ""
    source: str = ""
    whole: str = ""

    @property
    def own(self) -> Snapshot:
        """The run that the failure happened in."""
        return self.runs[-1]

    @property
    def reader(self) -> str:
        """The failing task, as the subject of a sentence."""
        return f"`{self.failure.node_id}`" if self.failure.node_id else "the workflow"


def also_changed(scene: Scene, only: str = "") -> str:
    """Add which input fields differ from the last good run; of a value that is named already, what it was there."""
    if scene.past is None:
        return ""
    inputs = [change for change in scene.past.input_changes if only in {"", change.what.removeprefix("input.")}]
    if inputs and len(inputs) <= FEW:
        return f"; the input changed from {_pairs(inputs, 'before')} to {_pairs(inputs, 'after')}"
    if not inputs and not only and not scene.past.is_same_code:
        return f"; {edited(scene.past)} since"
    return ""


def good_input(scene: Scene) -> dict[str, Any] | None:
    """Collect the input fields that changed, as the last good run had them, where the code is the same."""
    past = scene.past
    if past is None or not past.is_same_code or len(scene.runs) > 1:
        return None
    fields = [change.what.removeprefix("input.") for change in past.input_changes]
    return {field: past.before.input[field] for field in fields if field in past.before.input} or None


def edited(past: Comparison) -> str:
    """Say which text of the workflow is another one; the hash of its own file may be the same where an imported one differs."""
    if (own := recorded_hash(past.after.run)) and own == recorded_hash(past.before.run):
        return "a module that the workflow imports was edited (its own file is the same)"
    return "the workflow was edited"


def listed(changes: list[Change] | tuple[Change, ...]) -> str:
    """Name changes, the first few with what was and what is."""
    shown = [f"{change.what} from {_or_none(change.before)} to {_or_none(change.after)}" for change in changes[:FEW]]
    return ", ".join(shown) + (f" and {len(changes) - FEW} more" if len(changes) > FEW else "")


def _pairs(changes: list[Change], which: str) -> str:
    fields = ((change.what.removeprefix("input."), getattr(change, which)) for change in changes)
    return ", ".join(f"no `{name}`" if value is None else f"`{name}={_or_none(value)}`" for name, value in fields)


def _or_none(value: str | None) -> str:
    return "nothing" if value is None else value.removesuffix(".0")


def of_run(scene: Scene, quote: str) -> Evidence:
    """Quote the run that failed, for its input."""
    return Evidence(ref=f"run:{scene.own.run.run_id}", quote=quote, note="its input")


def is_same(one: str, other: str) -> bool:
    """Return whether two names are one, written `fetch-orders` or `fetchOrders`."""
    return one == other or letters(one) == letters(other)


def letters(name: str) -> str:
    """Keep what a name is by whichever way it is written."""
    return re.sub(r"[\W_]+", "", name).lower()


def in_hindsight(classification: Classification, origin: Origin | None) -> Classification:
    """Take into account that nothing recorded has changed since the workflow last worked.

    Code that worked on the same input is not surely at fault, nor is code that worked on every answer of an agent but the last; an error
    whose words tell nothing is sooner the environment's.
    """
    if origin is not None and origin.good_frame is not None and classification.failure_class in {"workflow-bug", "unknown"}:
        reason = "the same code worked on an earlier answer of the agent"
        return replace(
            classification,
            failure_class="agent-flake",
            confidence="medium",
            rule="later-answer-lacks-a-value",
            suggestion="rewind",
            reason=reason,
        )
    if origin is None or origin.kind != "outside":
        return classification
    if classification.failure_class == "workflow-bug" and classification.confidence == "high":
        return replace(classification, confidence="medium")
    if classification.failure_class == "unknown":
        reason = f"{classification.reason}; but the same workflow has finished with the same input before"
        return replace(classification, failure_class="environment", suggestion="fix-environment", reason=reason)
    return classification
