"""What a provider is given and what it returns.

A `Dossier` is everything about one failed run that may leave this process: facts, quotes with the references of their rows, and what
the deterministic investigation found, all without secrets. A `Proposal` is the answer. None of it is trusted until
`verification.claims` has checked it against the rows.
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
_MAX_TEXT: Final = 6_000
_MAX_SUMMARY: Final = 1_000


def _normalise_case(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


class _Outgoing(BaseModel):  # leaves this process, so pydantic validates and serialises it
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Facts(_Outgoing):
    """A short description of the run."""

    run_id: str
    workflow: str | None = None
    status: str
    state: str
    started_at: int | None = Field(default=None, description="epoch milliseconds")
    finished_at: int | None = Field(default=None, description="epoch milliseconds")
    error: str = Field(default="", description="the run-level error, often only a wrapper")


class Line(_Outgoing):
    """One row, shortened; the full text can be fetched by its reference."""

    ref: str
    at: int | None = Field(default=None, description="epoch milliseconds")
    what: str = Field(description="state or type")
    node_id: str | None = None
    text: str = ""


class Known(_Outgoing):
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


class Dossier(_Outgoing):
    """Everything about a failed run that may leave this process; bounded in size and without secrets."""

    run: Facts
    known: Known
    attempts: tuple[Line, ...] = ()
    events: tuple[Line, ...] = Field(default=(), description="the end of the log")
    source_name: str = Field(default="", description="file name of the workflow; its lines are `source:NAME:LINE`")
    source: str = Field(default="", description="text of the workflow's file, if available")
    wants_error_summary: bool = Field(
        default=False, description="the error is long or differs between attempts, so a plain-language summary would help"
    )


class Proposal(BaseModel):
    """A provider's answer. Field names are camelCase in JSON; snake_case is accepted too, and unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    root_cause: str = Field(min_length=1, max_length=_MAX_TEXT, description="what happened and why, one to five plain sentences")
    failure_class: Annotated[FailureClass, BeforeValidator(_normalise_case)] = Field(description="`unknown` when it cannot be told")
    confidence: Annotated[Confidence, BeforeValidator(_normalise_case)]
    suggestion: Annotated[Suggestion, BeforeValidator(_normalise_case)]
    suggestion_detail: str = Field(default="", max_length=_MAX_TEXT, description="how to carry the suggestion out, in plain words")
    commands: tuple[str, ...] = Field(default=(), max_length=_MAX_COMMANDS, description="lines as in the dossier's own commands")
    evidence: tuple[Evidence, ...] = Field(
        default=(), max_length=_MAX_QUOTES, description="references of rows, each with words copied from that row"
    )
    error_summary: str = Field(default="", max_length=_MAX_TEXT, description="the error in plain words, when `wantsErrorSummary` is true")


class Summary(BaseModel):
    """A provider's answer when it only has to put a failure into plain words."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    summary: str = Field(min_length=1, max_length=_MAX_SUMMARY, description="what happened, one to three plain sentences")


class Provider(Protocol):
    """A model or an agent CLI that can be asked about a failure.

    Attributes:
        name: `remote_llm` or `codex_exec`.
        author: The name with the model or program in parentheses, as a card shows it.
    """

    name: str
    author: str

    def propose(self, dossier: Dossier, record: Record) -> Proposal:
        """Give an opinion.

        Args:
            dossier: What is known.
            record: The rows behind it, read-only.

        Raises:
            ProviderError: No answer: the provider was unreachable, refused, timed out, or returned something malformed.
        """
        ...

    def summarise(self, facts: str) -> str:
        """Put a recorded failure into plain words.

        Args:
            facts: What was recorded, redacted.

        Raises:
            ProviderError: No answer, as for `propose`.
        """
        ...
