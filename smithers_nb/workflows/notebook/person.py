"""Whether a person is using this kernel interactively, and how a cell waits for their click.

JupyterLab talks to widgets over a subshell, a second thread of the kernel. So a click arrives while the cell that shows the button is still
running: the cell waits, nothing looks like an error, and the following cells continue afterwards. A front-end without subshells cannot do
that; there the cell ends and has to be run again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from IPython.display import DisplayHandle

    from smithers_nb.present.widgets.widgets import Live

_SUBSHELL_S: Final = 5.0
"""How long to wait for a front-end to open a subshell after the first widget, in seconds."""


def before_a_person() -> bool:
    """Return whether a person can click a widget: the front-end takes input, and ipywidgets is installed."""
    takes_input = False
    with suppress(AttributeError, KeyError, TypeError):
        takes_input = bool(_kernel().get_parent()["content"]["allow_stdin"])
    if not takes_input:
        return False
    from importlib.util import find_spec

    return find_spec("ipywidgets") is not None


def waited(live: Live) -> DisplayHandle | None:
    """Display a widget and wait until a person has used it.

    Returns:
        Its display handle, for showing the outcome in its place. None when this cell cannot wait, or a person interrupted the wait; the
        widget stays.
    """
    from IPython.display import display

    spot = display(live, display_id=True)
    try:
        if not _has_subshell():
            return None
        for widget in _with_children(live.box):
            # ipykernel 7.4 sends a reply to the thread that spoke last: this one, which is about to wait
            vars(widget.comm).pop("_reply_subshell_id", None)
        live.wait()
    except KeyboardInterrupt:
        return None
    return spot


def _has_subshell() -> bool:
    """Return whether the front-end has opened a subshell, so that clicks arrive while a cell runs."""
    until = time.monotonic() + _SUBSHELL_S
    while time.monotonic() < until:
        with suppress(AttributeError):
            if _kernel().shell_channel_thread.manager.list_subshell():
                return True
        time.sleep(0.05)
    return False


def _with_children(widget: Any) -> Iterator[Any]:
    yield widget
    for child in getattr(widget, "children", ()):
        yield from _with_children(child)


def _kernel() -> Any:
    from IPython.core.getipython import get_ipython

    return getattr(get_ipython(), "kernel", None)
