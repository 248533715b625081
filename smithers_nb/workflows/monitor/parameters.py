"""Parameters of the monitor, under our names or those of Smithers' own monitor (`targetRunId`, `staleMinutes`, …)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from smithers_nb.agents.providers.settings import chosen
from smithers_nb.model.finding import camel
from smithers_nb.workflows.autopsy.parameters import Moment, Text


class MonitorParameters(BaseModel):
    """Parameters of `notebooks/monitor.ipynb`; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=camel, populate_by_name=True)

    target_run_id: Text | None = Field(default=None, description="run to monitor; defaults to the most recent active run")
    source: Text | None = Field(default=None, description="store, project folder or URL; defaults to the current folder")
    autofix: bool = Field(default=False, description="make the smallest safe repair, if there is one")
    require_approval: bool = Field(default=True, description="with autofix, ask a person before a repair")
    stale_minutes: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        default=15, description="a task without activity for longer than this counts as stuck"
    )
    title: Text | None = Field(default=None, description="title of the report")
    provider: str | None = Field(
        default=None, validate_default=True, description="provider that investigates a failure; defaults to AGENT_PROVIDER"
    )
    now: Moment | None = Field(default=None, description="judge as of this time; defaults to the current time")

    @field_validator("target_run_id", "title")
    @classmethod
    def _empty_is_none(cls, value: str | None) -> str | None:
        return (value or "").strip() or None

    @field_validator("provider", mode="before")
    @classmethod
    def _choose_provider(cls, value: Any) -> Any:
        """Choose the provider and check that it is usable before anything is started."""
        return chosen(value or None) if value is None or isinstance(value, str) else value
