"""Why something failed, written at the moment it failed."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class FailureReason(BaseModel):
    """A failure in four fields; nothing of ours becomes failed without one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    code: str = Field(min_length=1, description="word that programs tell failures apart by: an error code or the class of an exception")
    message: str = Field(min_length=1, description="what happened, in one sentence")
    source: str = Field(min_length=1, description="who noticed: a row's reference such as `node:gather`, or the part of the engine")
    details: dict[str, Any] = Field(default_factory=dict, description="what else is known: stack, notebook, exit status")

    def as_error(self) -> dict[str, Any]:
        """Give it the shape of an error of Smithers: `{name, code, message, source, stack?, details}`."""
        details = dict(self.details)
        stack = details.pop("stack", None)
        error = {"name": details.pop("name", self.code), "code": self.code, "message": self.message, "source": self.source}
        return error | ({"stack": stack} if stack else {}) | ({"details": details} if details else {})
