"""How the run of an executed notebook ended, in words: what was run by whom, what was not, and what cannot be told from the file.

Gets a snapshot whose source has executed notebooks; what only that source knows stands in the run's configuration under `executed`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.diagnosis.failure.excerpt import telling
from smithers_nb.diagnosis.text.quotes import of_attempt, of_node
from smithers_nb.redact import redact, redact_value
from smithers_nb.sources.stores.json_text import as_object

if TYPE_CHECKING:
    from smithers_nb.model.rows import AttemptRow
    from smithers_nb.model.verdict import Evidence
    from smithers_nb.sources.snapshot import Snapshot

_MAX_PARAMETERS: Final = 6
_MAX_VALUE: Final = 40
_MAX_CELLS: Final = 4
_MAX_QUOTE: Final = 160
_LABEL: Final = 60


def course(snapshot: Snapshot) -> str:
    """Describe a failure's surroundings: who ran the notebook with which parameters, which cells never ran, and what is not known."""
    told = _told(snapshot)
    if not told:
        return ""
    return " ".join(part for part in (*_doubts(told), _by_whom(snapshot, told), _never_ran(told)) if part)


def ending(snapshot: Snapshot) -> str:
    """Describe how a run ended that did not fail."""
    told = _told(snapshot)
    if not told.get("ran"):
        return f"No code cell was executed: no cell has an execution count or a start. {_by_whom(snapshot, told)}".strip()
    words = {"finished": _finished, "interrupted": _interrupted, "partial": _partial}[snapshot.run.status]
    return " ".join(part for part in (*words(snapshot, told), _by_whom(snapshot, told)) if part)


def cells_as_evidence(snapshot: Snapshot) -> tuple[Evidence, ...]:
    """Quote the cells that an ending rests on: where it stopped, errors that the run went on after, cells that were never run."""
    told = _told(snapshot)
    ids = [told["cell"]] if told.get("cell") else told.get("undecided") or ()
    found = [of_attempt(attempt) for attempt in _attempts(snapshot, ids)]
    if found or snapshot.run.status == "finished":
        return tuple(found)
    return tuple(of_node(node) for node in snapshot.nodes if node.node_id in (told.get("neverRan") or ())[:1])


def _told(snapshot: Snapshot) -> dict[str, Any]:
    told = as_object(snapshot.run.config).get("executed")
    return told if isinstance(told, dict) else {}


def _finished(snapshot: Snapshot, told: dict[str, Any]) -> Iterator[str]:
    never = told.get("neverRan") or ()
    some = f"{told['ran']} of its {told['cells']}" if never else f"all of its {told['cells']}"
    yield f"It ran to its end: {some} code cells were run."
    if told.get("cleared"):
        yield "Its outputs were cleared afterwards."
    if expected := told.get("expected"):
        yield f"C{_cells(expected)[1:]} {_ends(expected)} with an error on purpose: a tag or the words beside it say so."
    for attempt in _attempts(snapshot, told.get("undecided") or ()):
        subject = f"C{_subject(snapshot, attempt.node_id)[1:]}"
        yield f"{subject} raised {_error(attempt)}, and the run went on; nothing says whether that was expected."
    if never:
        yield f"Without a sign of having been run: {_cells(never)}."


def _interrupted(snapshot: Snapshot, told: dict[str, Any]) -> Iterator[str]:
    noted = next((f" ({attempt.error_name})" for attempt in _attempts(snapshot, [told["cell"]]) if attempt.error_name), "")
    subject = f"C{_subject(snapshot, told['cell'])[1:]}"
    by_whom = " The file does not tell a person from a time limit." if told.get("batch") else ""
    yield f"{subject} did not come to its end: it was interrupted{noted}, which is no error of its code.{by_whom}"
    if told.get("wentOn"):
        yield "Later cells were run after it."
    yield _never_ran(told)


def _partial(snapshot: Snapshot, told: dict[str, Any]) -> Iterator[str]:
    if told.get("reason") == "executor-stopped":
        subject = f"C{_subject(snapshot, told['cell'])[1:]}"
        yield f"{subject} was running when the file was last written: it still runs, or what ran it was killed."
    elif told.get("reason") == "stopped":
        yield f"The run stopped after {_subject(snapshot, told['cell'])}; the file does not say why."
    else:
        yield f"{told['ran']} of its {told['cells']} code cells were run; no error is recorded."
    yield _never_ran(told)


def _doubts(told: dict[str, Any]) -> Iterator[str]:
    """Describe what is known of the deciding error besides its words."""
    if told.get("definedIn") and told.get("missing"):
        yield f"`{told['missing']}` is defined in {_cells(told['definedIn'])}, which this kernel had not run, or had run before a restart."
    if told.get("reason") == "printed-error":
        yield "It was only printed, so the notebook went on as if nothing had happened."
    elif told.get("wentOn") and not told.get("batch"):
        asks = "" if told.get("reason") == "interrupt" else "; nothing says whether the error was expected"
        yield f"Later cells were run after it{asks}."


def _never_ran(told: dict[str, Any]) -> str:
    never = told.get("neverRan") or ()
    return f"Never run: {_cells(never)}." if never else ""


def _by_whom(snapshot: Snapshot, told: dict[str, Any]) -> str:
    given = as_object(next((row.row for row in snapshot.outputs if row.node_id == "input"), None))
    shown = [f"{name}={_value(value)}" for name, value in list(redact_value(given).items())[:_MAX_PARAMETERS]]
    more = f" and {len(given) - _MAX_PARAMETERS} more" if len(given) > _MAX_PARAMETERS else ""
    source = f" from {told['inputPath']}" if told.get("inputPath") else ""
    parameters = f" with {', '.join(shown)}{more}" if shown else ""
    return redact(f"Executed by {told['producer']}{source}{parameters}.") if told.get("batch") else redact(f"Saved by {told['producer']}.")


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= _MAX_VALUE else f"{text[: _MAX_VALUE - 1]}…"


def _attempts(snapshot: Snapshot, ids: Sequence[str]) -> list[AttemptRow]:
    return [attempt for attempt in snapshot.attempts if attempt.node_id in ids]


def _subject(snapshot: Snapshot, node_id: str) -> str:
    label = next((node.label for node in snapshot.nodes if node.node_id == node_id), None)
    return f"cell “{telling(redact(label), _LABEL)}” ({node_id})" if label else node_id


def _error(attempt: AttemptRow) -> str:
    name = attempt.error_name if attempt.error_name != "Error" else None
    words = telling(redact(attempt.error_message or ""), _MAX_QUOTE).rstrip(".")
    return ": ".join(part for part in (name, words if words != name else None) if part) or "an error"


def _cells(ids: Sequence[str]) -> str:
    """Name cells; of a row of them the first and the last."""
    numbers = [int(one.partition(":")[2]) for one in ids]
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    shown = [f"cell:{run[0]}" if len(run) == 1 else f"cell:{run[0]} to cell:{run[-1]}" for run in runs[:_MAX_CELLS]]
    return ", ".join(shown) + (f" and {sum(map(len, runs[_MAX_CELLS:]))} more" if len(runs) > _MAX_CELLS else "")


def _ends(ids: Sequence[str]) -> str:
    return "ends" if len(ids) == 1 else "end"
