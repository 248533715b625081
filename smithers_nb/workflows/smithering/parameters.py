"""Parameters of smithering, under our names or Smithers' own (`smokeTest`, `baseBranch`, `maxMonitorHours`)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from smithers_nb.errors import ParameterError
from smithers_nb.model.finding import camel
from smithers_nb.workflows.autopsy.parameters import Text

if TYPE_CHECKING:
    from smithers_nb.workflows.smithering.workforce.base import Workforce

_CANNOT: Final = {
    "internal": "the provider internal follows rules and cannot build anything",
    "remote_llm": "the provider remote_llm answers questions and cannot work in a folder",
}
_HINT: Final = "use codex_exec (any agent CLI, CODING_AGENT_CMD) or scripted (an answer book, --book FILE)"
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class SmitheringParameters(BaseModel):
    """Parameters of `notebooks/smithering.ipynb`. Unknown names are refused; None stands for the default."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=camel, populate_by_name=True)

    prompt: str = Field(default="", description="what is wanted; a person is asked when it is empty")
    repo: Text | None = Field(default=None, description="folder of the repository; defaults to the current folder")
    route: Literal["auto", "trivial", "complex", "full-build"] = Field(default="auto", description="how much process; auto decides")
    review: bool = Field(default=True, description="gates and questions wait for a person")
    poc: bool = Field(default=False, description="build a proof of concept first")
    smoke_test: bool = Field(default=True, description="rehearse the generated workflow before its launch")
    base_branch: Text = Field(default="main", description="branch the work starts from; nothing is ever landed on it")
    max_monitor_hours: _Positive = Field(default=24, description="how long a launched build is watched")
    provider: str | None = Field(default=None, validate_default=True, description="who does the work: codex_exec or scripted")
    book: Text | None = Field(default=None, description="answer book of the provider scripted")
    checks: Text | None = Field(default=None, description="command that verifies work without a pipeline; found in the repository")
    parallel: Annotated[int, Field(ge=1, le=64)] = Field(default=2, description="tickets worked on at a time")
    agent_timeout_minutes: _Positive = Field(default=30, description="how long one call of an agent may take")
    max_agent_calls: Annotated[int, Field(ge=1)] = Field(default=500, description="agent calls in one run, including its build")
    command_timeout_minutes: _Positive = Field(default=30, description="how long one verification command may take")
    monitor_minutes: _Positive = Field(default=15, description="time between two progress pages of a launched build")
    push: Text | None = Field(default=None, description="remote the branch is pushed to after gate:delivery; without one nothing is pushed")
    pull_request: bool = Field(default=False, description="open a pull request after the push, with the program gh")
    started_by: str = Field(default="", description="person who made the request; defaults to the login")
    on_behalf_of: str = Field(default="", description="person that an operating agent acts for")

    @field_validator("*", mode="before")
    @classmethod
    def _default(cls, value: Any, info: Any) -> Any:
        return cls.model_fields[info.field_name].default if value is None else value

    @field_validator("provider")
    @classmethod
    def _chosen(cls, value: str | None) -> str:
        name = value or os.environ.get("AGENT_PROVIDER", "").strip() or "codex_exec"
        if name in _CANNOT:
            raise ParameterError(_CANNOT[name], hint=_HINT)
        if name not in {"codex_exec", "scripted"}:
            raise ParameterError(f"provider: {name[:60]!r} is not a provider that can build", hint=_HINT)
        return name

    @property
    def folder(self) -> Path:
        """Folder of the repository, absolute."""
        return Path(self.repo or ".").expanduser().resolve()


def workforce_of(parameters: SmitheringParameters, folder: Path, env: Mapping[str, str] | None = None) -> Workforce:
    """Return the workforce that the parameters choose.

    Args:
        parameters: Parameters of the request.
        folder: Folder of the run's artifacts, where agent calls are counted.
        env: Environment variables; defaults to those of this process.

    Raises:
        ParameterError: Something the provider needs is missing or malformed.
    """
    from smithers_nb.workflows.smithering.workforce.agent_cli import AgentCli
    from smithers_nb.workflows.smithering.workforce.answer_book import AnswerBook
    from smithers_nb.workflows.smithering.workforce.budget import Budget

    if parameters.provider == "scripted":
        if parameters.book is None:
            raise ParameterError("the provider scripted needs an answer book", hint="name it: --book FILE")
        return AnswerBook.open(Path(parameters.book).expanduser().resolve())
    environment = os.environ if env is None else env
    budget = Budget(parameters.max_agent_calls, folder)
    return AgentCli.from_environment(environment, timeout_s=parameters.agent_timeout_minutes * 60, budget=budget)
