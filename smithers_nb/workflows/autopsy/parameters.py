"""Parameters of the autopsy, checked before anything is started or read."""

from __future__ import annotations

import os
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from smithers_nb.agents.providers.settings import chosen
from smithers_nb.model.timestamps import epoch_ms, now_ms


def _as_text(value: Any) -> Any:
    """Take numbers and paths for the texts they stand for: papermill's `-p target_run_id 49315` is a number."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _as_moment(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    moment = epoch_ms(value)
    if moment is None:
        raise ValueError(f"{value[:60]!r} is neither epoch milliseconds nor an ISO time such as 2026-11-21T09:30:00Z")
    return moment


Text = Annotated[str, BeforeValidator(_as_text)]
Moment = Annotated[int, BeforeValidator(_as_moment)]


class AutopsyParameters(BaseModel):
    """What `notebooks/autopsy.ipynb` takes; other names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    target_run_id: Text = Field(description="run to look at; a unique beginning of its id is enough")
    source: Text | None = Field(default=None, description="store, project folder or URL; the current folder by default")
    workflow_path: Text | None = Field(default=None, description="the workflow's file, when it is not where the run was started")
    provider: str = Field(default="", validate_default=True, description="who investigates; AGENT_PROVIDER, else `internal`, by default")
    now: Moment | None = Field(default=None, description="judge as of this time; the clock by default")

    @field_validator("target_run_id")
    @classmethod
    def _some_run(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("name the run to look at, such as -p target_run_id 49315")
        return value.strip()

    @field_validator("provider", mode="before")
    @classmethod
    def _ready(cls, value: Any) -> Any:
        """Settle who investigates and that they can, before anything is started."""
        return chosen(value or None) if value is None or isinstance(value, str) else value

    @property
    def moment(self) -> int:
        """The time to judge at, epoch milliseconds."""
        return now_ms() if self.now is None else self.now
