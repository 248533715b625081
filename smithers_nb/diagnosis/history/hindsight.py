"""What the past of a workflow does to the judgement on one error.

Gets the class that the error's own words gave and what lies behind the failure; gives the class again, less sure or another one where
the same workflow has finished with the same input before.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

_SPOILED = "later-answer-lacks-a-value"

if TYPE_CHECKING:
    from smithers_nb.diagnosis.history.origins import Origin
    from smithers_nb.model.verdict import Classification


def in_hindsight(classification: Classification, origin: Origin | None) -> Classification:
    """Take into account that nothing recorded has changed since the workflow last worked.

    Code that worked on the same input is not surely at fault, nor is code that worked on every answer of an agent but the last; an error
    whose words tell nothing is sooner the environment's.
    """
    if origin is not None and origin.good_frame is not None and classification.failure_class in {"workflow-bug", "unknown"}:
        reason = "the same code worked on an earlier answer of the agent"
        return replace(classification, failure_class="agent-flake", confidence="medium", rule=_SPOILED, suggestion="rewind", reason=reason)
    if origin is None or origin.kind != "outside":
        return classification
    if classification.failure_class == "workflow-bug" and classification.confidence == "high":
        return replace(classification, confidence="medium")
    if classification.failure_class == "unknown":
        reason = f"{classification.reason}; but the same workflow has finished with the same input before"
        return replace(classification, failure_class="environment", suggestion="fix-environment", reason=reason)
    return classification
