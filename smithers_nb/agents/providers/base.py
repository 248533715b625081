"""What a provider is given and what it gives back.

A `Dossier` is everything about one failed run that may leave this process: facts, quotes with the references of their rows, and what
the deterministic investigation found, all without secrets. A `Proposal` is the answer. Nothing of it is believed before `checked`
has held it against the rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Protocol

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from smithers_nb.model.verdict import Defect, Evidence
from smithers_nb.model.vocabulary import Confidence, FailureClass, Suggestion

if TYPE_CHECKING:
    from smithers_nb.agents.verification.evidence_index import Record

_MAX_QUOTES: Final = 40
_MAX_COMMANDS: Final = 20
_TEXT: Final = 6_000


def _lowered(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


class _Told(BaseModel):  # leaves this process, so pydantic checks and writes it
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Facts(_Told):
    """The run, in a few words."""

    run_id: str
    workflow: str | None = None
    status: str
    state: str
    started_at: int | None = Field(default=None, description="epoch milliseconds")
    finished_at: int | None = Field(default=None, description="epoch milliseconds")
    error: str = Field(default="", description="the run-level error, often only a wrapper")


class Line(_Told):
    """One row, shortened: ask for the whole by its reference."""

    ref: str
    at: int | None = Field(default=None, description="epoch milliseconds")
    what: str = Field(description="state or type")
    node_id: str | None = None
    text: str = ""


class Known(_Told):
    """What the deterministic investigation found."""

    failing_node: str | None = None
    root_cause: str
    failure_class: FailureClass
    confidence: Confidence
    rule: str
    suggestion: Suggestion
    suggestion_detail: str
    commands: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    defects: tuple[Defect, ...] = ()


class Dossier(_Told):
    """What may be known about a failed run outside this process; bounded in size and without secrets."""

    run: Facts
    known: Known
    attempts: tuple[Line, ...] = ()
    events: tuple[Line, ...] = Field(default=(), description="the end of the log")
    source_name: str = Field(default="", description="file name of the workflow; its lines are `source:NAME:LINE`")
    source: str = Field(default="", description="text of the workflow's file, as far as it is at hand")
    wants_error_summary: bool = Field(default=False, description="the error is long or keeps changing, so plain words beside it would help")


class Proposal(BaseModel):
    """A provider's answer. Names are camelCase in JSON; snake_case is read as well, further fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    root_cause: str = Field(min_length=1, max_length=_TEXT, description="what happened and why, one to five plain sentences")
    failure_class: Annotated[FailureClass, BeforeValidator(_lowered)] = Field(description="`unknown` when it cannot be told")
    confidence: Annotated[Confidence, BeforeValidator(_lowered)]
    suggestion: Annotated[Suggestion, BeforeValidator(_lowered)]
    suggestion_detail: str = Field(default="", max_length=_TEXT, description="how to carry the suggestion out, in plain words")
    commands: tuple[str, ...] = Field(default=(), max_length=_MAX_COMMANDS, description="lines as in the dossier's own commands")
    evidence: tuple[Evidence, ...] = Field(
        default=(), max_length=_MAX_QUOTES, description="references of rows, each with words copied from that row"
    )
    error_summary: str = Field(default="", max_length=_TEXT, description="the error in plain words, when `wantsErrorSummary` is true")


class Provider(Protocol):
    """Somebody who may look at a failure.

    Attributes:
        name: `remote_llm` or `codex_exec`.
        author: The same with the model or the program, as a card shows it.
    """

    name: str
    author: str

    def propose(self, dossier: Dossier, record: Record) -> Proposal:
        """Give an opinion.

        Args:
            dossier: What is known.
            record: The rows behind it, to be read, never to be changed.

        Raises:
            ProviderError: There is no answer: unreachable, refused, too late, or not of this form.
        """
        ...


def answer_schema() -> dict[str, Any]:
    """Return the JSON schema of an answer."""
    return Proposal.model_json_schema(by_alias=True)
