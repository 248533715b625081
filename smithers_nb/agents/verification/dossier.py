"""The dossier of a run: what a provider is given at the start, redacted and small enough for a model to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from smithers_nb.agents.providers.base import Dossier, Facts, Known, Line
from smithers_nb.diagnosis.text.quotes import excerpt
from smithers_nb.redact import redact_value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from smithers_nb.agents.verification.evidence_index import Record
    from smithers_nb.model.rows import AttemptRow

_MAX_ATTEMPTS: Final = 40
_MAX_ERROR: Final = 600
_MAX_SOURCE: Final = 16_000


def dossier(record: Record, facts: Facts, known: Known, *, events: Iterable[Line], wants_error_summary: bool) -> Dossier:
    """Assemble what a provider is given.

    Args:
        record: The rows.
        facts: The run.
        known: What the rules found.
        events: The end of the log.
        wants_error_summary: Whether a plain-language summary of the error would help.
    """
    raw = Dossier(
        run=facts,
        known=known,
        attempts=tuple(attempt_lines(record)),
        events=tuple(events),
        source_name=record.source_name,
        source="\n".join(record.source_lines)[:_MAX_SOURCE],
        wants_error_summary=wants_error_summary,
    )
    cleaned: dict[str, Any] = redact_value(raw.model_dump(mode="json"))
    return Dossier(**cleaned)


def attempt_lines(record: Record, node_id: str | None = None, limit: int = _MAX_ATTEMPTS) -> list[Line]:
    """List the attempts of the run and its child runs, failed ones first, then by start time.

    Args:
        record: The rows.
        node_id: Only attempts of this node.
        limit: Maximum number of attempts.
    """
    found = [(run_id, row) for run_id, one in record.runs.items() for row in one.attempts if node_id in {None, row.node_id}]
    found.sort(key=lambda pair: (pair[1].state != "failed", pair[1].started_at or 0))
    return [_attempt(record, run_id, row) for run_id, row in found[:limit]]


def _attempt(record: Record, run_id: str, row: AttemptRow) -> Line:
    ref = record.own(run_id, f"attempt:{row.node_id}/{row.iteration}/{row.attempt}")
    text = excerpt(": ".join(part for part in (row.error_code or row.error_name, row.error_message) if part), _MAX_ERROR)
    return Line(ref=ref, at=row.started_at, what=row.state, node_id=row.node_id, text=text)
