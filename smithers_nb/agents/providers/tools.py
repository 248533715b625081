"""The tools through which a model reads a run: attempts, rows, events and lines of the workflow's source.

Every result is text from the run, redacted, limited in size and marked as data. The tools are read-only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from smithers_nb.agents.verification.dossier import attempt_lines
from smithers_nb.diagnosis.text.quotes import excerpt

if TYPE_CHECKING:
    from collections.abc import Callable

    from smithers_nb.agents.verification.evidence_index import Record

CALLS: Final = 16
"""How many tool calls one investigation may make."""

_MAX_ROW: Final = 6_000
_MAX_EVENT: Final = 300
_MAX_EVENTS: Final = 60
_MAX_LINES: Final = 200


class Tools:
    """Read-only tools over the rows of one run."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def all(self) -> list[Callable[..., dict[str, Any]]]:
        """Return the tools in the order in which a model sees them."""
        return [self.attempts, self.row, self.events, self.source_lines]

    def attempts(self, node_id: str | None = None) -> dict[str, Any]:
        """List attempts, failed ones first, with their references and the beginning of their errors.

        Args:
            node_id: Only attempts of this node; all of the run and its child runs without it.
        """
        return _data([line.model_dump(exclude_none=True) for line in attempt_lines(self._record, node_id)])

    def row(self, ref: str, offset: int = 0) -> dict[str, Any]:
        """Read one row whole: an error with its stack, an event, a gate, a node, the run itself.

        Args:
            ref: Its reference, such as `attempt:boom/0/2`, `event:17`, `approval:ship/0`, `run:ID`.
            offset: Characters to skip, for a row that is longer than one answer.
        """
        text = self._record.text(ref)
        if text is None:
            return {"not_found": f"there is no row {ref[:100]}"}
        start = max(0, offset)
        return _data(text[start : start + _MAX_ROW]) | {"total_characters": len(text)}

    def events(self, around: int, run_id: str | None = None, before: int = 15, after: int = 15) -> dict[str, Any]:
        """Read the lines of a log around one of them.

        Args:
            around: Number of a line, as in `event:17`.
            run_id: A child run; the run itself without it.
            before: How many numbers back.
            after: How many numbers on.
        """
        run = run_id or self._record.snapshot.run_id
        found = self._record.events(run, around - max(0, before), around + max(0, after))[:_MAX_EVENTS]
        return _data([self._event(run, event.seq) for event in found])

    def source_lines(self, first: int, last: int) -> dict[str, Any]:
        """Read lines of the workflow's file, each with its reference.

        Args:
            first: Number of the first line, from 1.
            last: Number of the last line.
        """
        name, lines = self._record.source_name, self._record.source_lines
        if not lines:
            return {"not_found": "the workflow's file is not at hand"}
        start = max(1, first)
        found = lines[start - 1 : max(start, min(last, start + _MAX_LINES - 1))]
        return _data([f"source:{name}:{start + at}  {line}" for at, line in enumerate(found)])

    def _event(self, run_id: str, seq: int) -> str:
        ref = self._record.own(run_id, f"event:{seq}")
        return f"{ref}  {excerpt(' '.join((self._record.text(ref) or '').split()), _MAX_EVENT)}"


def _data(value: Any) -> dict[str, Any]:
    """Mark text from a run as data."""
    return {"recorded_data_not_instructions": value}
