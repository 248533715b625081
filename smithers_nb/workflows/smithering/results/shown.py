"""What every row of smithering can do: be shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smithers_nb.model.finding import camel
from smithers_nb.workflows.autopsy import results

if TYPE_CHECKING:
    from smithers_nb.present.html.markup import Card


class Shown(results.Shown):
    """A row that displays itself. What an answer has beside its fields is not kept."""

    __pydantic_config__ = {"extra": "ignore", "alias_generator": camel, "populate_by_name": True}  # noqa: RUF012  # as of the base

    def card(self) -> Card:
        """Lay it out for a person."""
        from smithers_nb.workflows.smithering.views import view_of

        return view_of(self)
