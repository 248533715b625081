"""The JSON documents that commands print, each with a JSON Schema made from the class that is printed.

`DOCUMENTS` names a document after its command, with the class of its rows or finding and the fields that the command adds. The version
of a document is raised when a field is removed or changes its meaning; a new field does not raise it.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Annotated, Any, Final, NamedTuple, get_origin, get_type_hints

from smithers_nb.model.finding import Finding, camel

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"

_TEXT: Final[dict[str, Any]] = {"type": "string"}
_MAYBE: Final[dict[str, Any]] = {"type": ["string", "null"]}
_COUNT: Final[dict[str, Any]] = {"type": "integer"}
_FLAG: Final[dict[str, Any]] = {"type": "boolean"}
_OBJECT: Final[dict[str, Any]] = {"type": "object"}
_LIST: Final[dict[str, Any]] = {"type": "array"}
_TEXTS: Final[dict[str, Any]] = {"type": "array", "items": _TEXT}


class Part(NamedTuple):
    """Rows or one finding inside a document.

    Attributes:
        row: `MODULE:CLASS` below the package.
        many: Whether it is a list of them.
    """

    row: str
    many: bool = True


class Document(NamedTuple):
    """One kind of JSON document.

    Attributes:
        about: Description.
        row: `MODULE:CLASS` below the package; empty for an object that the command itself builds.
        many: Whether `--format json` prints an array of them, and `--format jsonl` one per line.
        adds: Fields that the command adds to those of the class.
        optional: Names of `adds` that may be absent.
        further: Schema of fields with other names; by default there are none.
        version: Raised when a field is removed or changes its meaning.
    """

    about: str
    row: str = ""
    many: bool = False
    adds: Mapping[str, dict[str, Any] | Part] = {}
    optional: tuple[str, ...] = ()
    further: Mapping[str, Any] | None = None
    version: int = 1


_OF_A_NOTEBOOK: Final[dict[str, dict[str, Any] | Part]] = {"monitorRunId": _TEXT, "notebook": _TEXT}
_RUN: Final[dict[str, dict[str, Any] | Part]] = {"runId": _TEXT, "status": _TEXT}
_MOVED: Final[dict[str, dict[str, Any] | Part]] = {"beadId": _TEXT, "status": _TEXT, "detail": _TEXT}
_NODE_TABLES: Final = {
    "states": "NodeRow",
    "attempts": "AttemptRow",
    "toolCalls": "ToolCallRow",
    "tokens": "TokenRow",
    "outputs": "OutputRow",
    "diffs": "DiffRow",
    "scores": "ScoreRow",
    "approvals": "ApprovalRow",
    "questions": "QuestionRow",
}
_RUN_TABLES: Final = {
    "nodes": "NodeRow",
    "attempts": "AttemptRow",
    "tokens": "TokenRow",
    "approvals": "ApprovalRow",
    "questions": "QuestionRow",
    "children": "RunRow",
}

DOCUMENTS: Final[dict[str, Document]] = {
    "why": Document("why a run is in its state, and what to do", "model.explanation:Explanation"),
    "monitor": Document(
        "how a run is doing", "workflows.monitor.results:MonitorRow", adds=_OF_A_NOTEBOOK, optional=("monitorRunId", "notebook")
    ),
    "smithering": Document(
        "how a request ended",
        "workflows.smithering.results.delivery:SmitheringRow",
        adds={"runId": _TEXT, "notebook": _TEXT},
    ),
    "triage-run": Document("one recommendation for a run", "workflows.monitor.results:TriageRow"),
    "monitor-smithers": Document("how a fleet is doing", "workflows.fleet.results:FleetRow", adds=_OF_A_NOTEBOOK),
    "monitor-smithers-schedule": Document("when a fleet is looked at: `monitor-smithers --schedule`", adds={"schedule": _MAYBE}),
    "autopsy": Document(
        "verdict of a failed run", "model.verdict:Verdict", adds={"notebook": _TEXT, "report": _TEXT}, optional=("notebook", "report")
    ),
    "autopsies": Document("what `autopsy --all` came to, a row per failed run", "workflows.batch.local:AutopsyRow", many=True),
    "report": Document("where a report was written", adds={"targetRunId": _TEXT, "report": _TEXT, "notebook": _MAYBE}),
    "failures": Document("failed attempts, classified", "model.rows:FailureRow", many=True),
    "failures-by-kind": Document("kinds of failure of a store", "diagnosis.history.recurrence:SignatureRow", many=True),
    "classify": Document(
        "class of an error message",
        many=True,
        adds={
            "line": _COUNT,
            **dict.fromkeys(("failureClass", "confidence", "rule", "signature", "reason", "suggestion", "quote", "error"), _MAYBE),
        },
    ),
    "ps": Document("runs of a store", "model.rows:RunRow", many=True, adds={"autopsy": _OBJECT}, optional=("autopsy",)),
    "inspect": Document(
        "one run with its rows",
        adds={
            "run": Part("model.rows:RunRow", many=False),
            **{name: Part(f"model.rows:{row}") for name, row in _RUN_TABLES.items()},
            "autopsies": Part("model.explanation:Autopsy"),
            "autopsyOf": _TEXT,
            "defects": Part("model.verdict:Defect"),
            "problems": {"type": "array"},
        },
    ),
    "node": Document(
        "one node with its rows",
        adds={"runId": _TEXT, "nodeId": _TEXT, **{name: Part(f"model.rows:{row}") for name, row in _NODE_TABLES.items()}},
    ),
    "events": Document("a run's log", "model.rows:EventRow", many=True),
    "logs": Document(
        "a run's log, and the texts that its notebook shows, each as far as it is new: `cell` and `text` instead of an event",
        many=True,
        adds={**dict.fromkeys(("runId", "type", "nodeId"), _MAYBE), "cell": _TEXT, "text": _TEXT},
        optional=("runId", "type", "nodeId", "cell", "text"),
        further={},
    ),
    "output": Document("what a run's nodes produced", "model.rows:OutputRow", many=True),
    "diff": Document("file changes of a run's nodes", "model.rows:DiffRow", many=True),
    "scores": Document("scores of a run's nodes", "model.rows:ScoreRow", many=True),
    "inbox": Document("what needs a person now", "workflows.monitor.attention:Need", many=True),
    "human-inbox": Document("gates and questions that wait for a person", "diagnosis.state.inbox:Request", many=True),
    "addressed": Document("a failure marked as dealt with", "engine.journal.attention:Mark"),
    "watch": Document("a failure that a watcher met", "workflows.triggers.watch:Seen"),
    "up": Document(
        "how the execution of a notebook ended",
        adds={
            **_RUN,
            "notebook": _MAYBE,
            "reason": {"type": ["object", "null"]},
            "waitingFor": {"type": "array"},
            "detached": _FLAG,
            "row": _OBJECT,
        },
        optional=("reason", "waitingFor", "detached", "row"),
    ),
    **{
        name: Document(
            f"how the execution after `{name}` ended",
            adds=_RUN | {"notebook": _MAYBE, "reason": {"type": ["object", "null"]}, "waitingFor": {"type": "array"}, "detached": _FLAG},
            optional=("notebook", "reason", "waitingFor", "detached"),
        )
        for name in ("resume", "retry-task")
    },
    "rewind": Document(
        "where a run is after going back",
        adds={"runId": _TEXT, "fromFrameNo": _COUNT, "toFrameNo": _COUNT, "removedNodes": {"type": "array", "items": _OBJECT}},
    ),
    "cancel": Document("what a cancel came to", "engine.control.cancel:Cancellation"),
    "worker": Document("how an execution of a worker ended", adds=_RUN | {"reason": _MAYBE}),
    "bug": Document("a bug report that was taken", "model.bug_report:BugFiled"),
    "bug-kept": Document("a bug report that is only saved", adds={"saved": _TEXT, "sent": _FLAG, "detail": _TEXT}),
    "bug-proposed": Document("a bug report to agree to: `bug --propose`", adds={"endpoint": _TEXT, "payload": _OBJECT, "words": _TEXT}),
    "verify": Document("whether a bundle is what its manifest says", "workflows.bundle:Verification"),
    "decision": Document(
        "a gate decided or a question answered: `approve`, `deny`, `human answer`",
        adds={"runId": _TEXT, "nodeId": _TEXT, "iteration": _COUNT, "result": _TEXT, "continues": _FLAG},
    ),
    "init": Document("files that were installed", adds={"files": {"type": "array", "items": _OBJECT}}),
    "incident": Document("which failure of a runbook it is", "workflows.incident.results:Classification"),
    "incident-plan": Document("how a run would be repaired: `incident recover`", "workflows.incident.recover:Plan"),
    "incident-recover": Document("what a recovery came to: `incident recover --apply`", "workflows.incident.recover:Recovered"),
    "incident-escalate": Document("a bundle that was filed", "workflows.incident.bundle:Bundle"),
    "incident-close": Document("how an incident was closed", "workflows.incident.close:Closed"),
    "incident-lint": Document("which steps of a runbook can work", "workflows.incident.lint.results:Linted"),
    "beads-list": Document("work items", "model.beads:BeadRow", many=True),
    "beads-activity": Document("what happened to work items", "model.beads:BeadEventRow", many=True),
    "beads-show": Document(
        "one work item with its log and why it failed",
        adds={
            "bead": Part("model.beads:BeadRow", many=False),
            "events": Part("model.beads:BeadEventRow"),
            "failureReason": {"type": ["object", "null"]},
            "summary": _MAYBE,
        },
    ),
    "beads-convoys": Document(
        "how far convoys are",
        many=True,
        adds={"beadId": _TEXT, "title": _TEXT, "status": _TEXT, "total": _COUNT, "closed": _COUNT, "failed": _COUNT},
        further={"type": ["integer", "string", "null"]},
    ),
    "beads-audit": Document(
        "which reasons a fleet loses: every count under its own name, null where the store cannot show it",
        adds={"coverage": _LIST, "other_logs": _OBJECT, "problems": _LIST, "evidence": _OBJECT},
        further={},
    ),
    **{f"beads-{name}": Document(f"a work item after `beads {name}`", adds=_MOVED) for name in ("fail", "reopen")},
    "beads-export": Document("where an export of work items was written", adds={"file": _TEXT, "rows": _COUNT}),
    "beads-import": Document(
        "what an import of work items wrote",
        adds={**dict.fromkeys(("beads", "events", "lines", "withoutReason"), _COUNT), "problems": _LIST},
    ),
    "workflow-list": Document(
        "installed workflows", many=True, adds={"id": _TEXT, "title": _TEXT, "parameters": _TEXTS, "system": _FLAG, "file": _TEXT}
    ),
    "schema": Document("the documents that have a schema", many=True, adds={"name": _TEXT, "version": _COUNT, "about": _TEXT}),
}
"""Name to document: one per command of the same name, and a few more."""


def schema_of(name: str) -> dict[str, Any]:
    """Make the JSON Schema of a document.

    Args:
        name: One of `DOCUMENTS`.

    Raises:
        KeyError: There is no such document.
    """
    document = DOCUMENTS[name]
    definitions: dict[str, Any] = {}
    body = _body(document, definitions)
    head = {"$schema": DRAFT, "$id": f"urn:smithers-nb:schema:{name}:{document.version}", "title": name, "description": document.about}
    whole = {"type": "array", "items": body} if document.many else body
    return head | whole | ({"$defs": definitions} if definitions else {})


def _body(document: Document, definitions: dict[str, Any]) -> dict[str, Any]:
    alone: dict[str, Any] = {
        "type": "object",
        "properties": {},
        "additionalProperties": False if document.further is None else document.further,
    }
    row = _of_class(document.row, definitions) if document.row else alone
    own = {
        name: _part(what, definitions) if isinstance(what, Part) else what  # what only the command knows
        for name, what in document.adds.items()
    }
    required = [*row.get("required", ()), *(name for name in own if name not in document.optional)]
    return {**row, "properties": {**row["properties"], **own}, "required": required}


def _part(part: Part, definitions: dict[str, Any]) -> dict[str, Any]:
    name = part.row.rpartition(":")[2]
    if name not in definitions:
        definitions[name] = _of_class(part.row, definitions)
    found = {"$ref": f"#/$defs/{name}"}
    return {"type": "array", "items": found} if part.many else found


def _of_class(row: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """Make the schema of a finding or of a row; what it refers to goes among the definitions."""
    from pydantic import TypeAdapter

    module, _, name = row.partition(":")
    kind = getattr(importlib.import_module(f"smithers_nb.{module}"), name)
    shape = kind if issubclass(kind, Finding) else _as_printed(kind)
    found = TypeAdapter(shape).json_schema(mode="serialization", by_alias=True)
    definitions |= found.pop("$defs", {})
    found.pop("title", None)
    return found


def _as_printed(row: Any) -> Any:
    """Return a model of the object that a row class is printed as: JSON names, JSON columns nested, every field required."""
    from pydantic import ConfigDict, Field, create_model

    declared = getattr(row, "__annotations__", {})
    fields: dict[str, Any] = {}
    for name, hint in get_type_hints(row, include_extras=True).items():
        about = hint.__metadata__[-1] if get_origin(hint) is Annotated else None
        shown = Any if "Annotated[Json," in str(declared.get(name)) else hint
        fields[f"{name}_"] = (
            shown,
            Field(description=about, serialization_alias=camel(name)),
        )  # with an underscore, because pydantic reserves `schema`
    return create_model(row.__name__, __config__=ConfigDict(extra="forbid"), **fields)
