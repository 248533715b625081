"""Parameters of the fleet's monitor, under our names or those of Smithers' own (`staleMinutes`)."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from smithers_nb.model.finding import camel
from smithers_nb.workflows.autopsy.parameters import Moment, Text


class FleetParameters(BaseModel):
    """Parameters of `notebooks/monitor-smithers.ipynb`; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=camel, populate_by_name=True)

    projects: list[Text] | None = Field(
        default=None, description="project folders, stores or URLs; defaults to the current folder and the projects in the home folder"
    )
    stale_minutes: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        default=15, description="a task without activity for longer than this counts as stuck"
    )
    now: Moment | None = Field(default=None, description="judge as of this time; defaults to the current time")
