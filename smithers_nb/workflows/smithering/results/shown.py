"""The base class of the rows of smithering: a row that displays itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smithers_nb.model.finding import camel
from smithers_nb.workflows.autopsy import results

if TYPE_CHECKING:
    from smithers_nb.present.html.markup import Card


class Shown(results.Shown):
    """A row that displays itself; unknown fields of an answer are dropped."""

    __pydantic_config__ = {"extra": "ignore", "alias_generator": camel, "populate_by_name": True}  # noqa: RUF012  # as of the base

    def card(self) -> Card:
        """Return the card of this row."""
        from smithers_nb.workflows.smithering.views import view_of

        return view_of(self)
