"""What lies behind a failure, in words, and everything that may be looked at to find it.

Gets the failure, the runs from the one asked about down to the one it happened in, and the last good run; gives the clauses that
every origin may end with: which input fields differ, and whether the workflow was edited.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from smithers_nb.diagnosis.engines.workflow_edits import recorded_hash
from smithers_nb.diagnosis.failure.aliases import resolved
from smithers_nb.diagnosis.failure.lacking import is_same
from smithers_nb.diagnosis.failure.root_failure import names_in, upstream_of
from smithers_nb.diagnosis.failure.task_source import is_declared
from smithers_nb.diagnosis.history.known_values import runs_of
from smithers_nb.diagnosis.history.run_profile import shape
from smithers_nb.model.verdict import Evidence
from smithers_nb.model.vocabulary import logical_id
from smithers_nb.sources.stores.json_text import as_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from smithers_nb.diagnosis.failure.expression import Access
    from smithers_nb.diagnosis.history.good_frame import GoodFrame
    from smithers_nb.diagnosis.history.known_values import Known
    from smithers_nb.diagnosis.history.since_good import Comparison
    from smithers_nb.model.verdict import Change, Classification, Failure
    from smithers_nb.sources.snapshot import Snapshot

HASH: Final = "workflow hash"
FEW: Final = 3
_HEAD: Final = 3
"""Where in a path the name of a task's output stands: `deps.page.rows`, `page.rows`."""

OVER_A_VALUE: Final = frozenset({"TypeError", "RangeError", "SyntaxError", "URIError", "ValueError", "JSONDecodeError"})
"""Classes of errors that are thrown over a value."""

_PARAMETERS: Final = frozenset({"d", "dep", "deps"})


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
        needs: What the failing task calls the outputs that it gets, to the tasks that they are of.
    """

    failure: Failure
    runs: list[Snapshot]
    access: Access | None
    past: Comparison | None
    known: list[Known]
    line: str = ""
    source: str = ""
    whole: str = ""
    needs: Mapping[str, str] = MappingProxyType({})

    @property
    def own(self) -> Snapshot:
        """The run that the failure happened in."""
        return self.runs[-1]

    def meant(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Replace what the source calls a task's output by the task: a constant, a name in `needs`, or the parameter of its function."""
        names = resolved(names, self.source)
        named = tuple(self.needs.get(name, name) if at < _HEAD else name for at, name in enumerate(names))
        return named if named != names else self._of_only_upstream(names)

    def _of_only_upstream(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Take names that lead to a field of the only task which the failing one waits for as that field's."""
        node = self.failure.node_id
        direct = {name for task in self.own.tasks if task.node_id == node for name in names_in(task.depends_on)}
        known = {logical_id(output.node_id) for output in self.own.outputs} | {"input", "ctx"}
        if len(direct) != 1 or not names or any(is_same(name, other) for name in names for other in known):
            return names
        if is_declared(names[0], self.source) if self.source else names[0] not in _PARAMETERS:
            return names
        rows = [as_object(output.row) for output in self.own.outputs if output.node_id in direct]
        at = next((at for at, name in enumerate(names[:_HEAD]) if at and any(name in row for row in rows)), 0)
        return (logical_id(direct.pop()), *names[at:]) if at else names

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


def was_good(scene: Scene, node: str, field: str, value: object) -> str:
    """Add that a value of an output was of another kind in the last good run."""
    if scene.past is None or not node:
        return ""
    was = scene.past.before.shapes.get(logical_id(node), {}).get(field)
    return f"; in the last good run ({scene.past.good}) it was {article(was)}" if was and was != shape({"": value})[""] else ""


def article(kind: str) -> str:
    """Put an article before a kind of value; `text` and `null` have none."""
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}" if kind in _COUNTED else kind


_COUNTED: Final = frozenset({"list", "object", "number", "flag", "empty list"})


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


def is_unexplained(snapshot: Snapshot, failure: Failure, origin: Origin | None) -> bool:
    """Return whether code failed over a value that it was given, and no row shows which: its text alone is not the cause."""
    over_a_value = failure.code == "INVALID_OUTPUT" or not OVER_A_VALUE.isdisjoint(link.name or "" for link in failure.chain)
    returned = failure.code == "DB_WRITE_FAILED"  # what the task itself returned could not be written
    if origin is not None or returned or not over_a_value or failure.task_kind != "compute" or not failure.node_id:
        return False
    return bool(upstream_of(runs_of(snapshot, failure)[-1])(failure.node_id))


def in_hindsight(classification: Classification, origin: Origin | None, *, is_unexplained: bool = False) -> Classification:
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
    if is_unexplained and classification.confidence == "high":
        return replace(classification, confidence="medium")
    if origin is None or origin.kind != "outside":
        return classification
    if classification.failure_class == "workflow-bug" and classification.confidence == "high":
        return replace(classification, confidence="medium")
    if classification.failure_class == "unknown":
        reason = f"{classification.reason}; but the same workflow has finished with the same input before"
        return replace(classification, failure_class="environment", suggestion="fix-environment", reason=reason)
    return classification
