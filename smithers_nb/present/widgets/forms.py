"""A form for an answer in JupyterLab, from the JSON schema of the answer.

Nothing is preset: an answer that nobody gave must not be one click away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from smithers_nb.present.answers import field_of

_WIDE: Final = {"width": "auto", "max_width": "46em"}
# Fields are sent when they are left (`continuous_update=False`): sent with every key, the last ones may come after the click.


class Form(NamedTuple):
    """A control and how its answer is read.

    Attributes:
        widget: The ipywidgets control.
        read: Gives the answer as JSON; raises `ParameterError` when it is none.
        hint: How to fill it in.
    """

    widget: Any
    read: Callable[[], Any]
    hint: str = ""


def form_of(schema: Mapping[str, Any], options: Sequence[str] | None = None, *, label: str = "Answer") -> Form:
    """Choose the control that fits a schema; `label` stands beside it."""
    import ipywidgets as widgets

    field = field_of(schema, options)
    if field.choices:
        control = widgets.RadioButtons(options=list(field.choices), value=None, description=label, layout=_WIDE)
    else:
        kind = widgets.Textarea if field.is_long else widgets.Text
        control = kind(description=label, placeholder=field.placeholder, layout=_WIDE, continuous_update=False)
    return Form(control, lambda: field.read(control.value), field.hint)
