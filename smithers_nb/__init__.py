"""Find out why an agent workflow run failed, from the store that the run left behind.

`connect` opens a store, `autopsy` says why a run failed; everything else hangs on the objects they return. `stage`, `gate` and `ask` make
a notebook of your own durable. Names are loaded when
they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing `typing` would be most of the cost of importing this
if TYPE_CHECKING:
    from typing import Any

    from IPython.core.interactiveshell import InteractiveShell

    from smithers_nb._version import __version__
    from smithers_nb.model.explanation import Explanation
    from smithers_nb.model.verdict import Verdict
    from smithers_nb.project import Project, autopsy, connect
    from smithers_nb.run import Node, Run
    from smithers_nb.workflows.notebook.api import ask, gate, stage

__all__ = [
    "Explanation",
    "Node",
    "Project",
    "Run",
    "Verdict",
    "__version__",
    "ask",
    "autopsy",
    "connect",
    "gate",
    "load_ipython_extension",
    "stage",
]

_HOMES = {
    "Explanation": "smithers_nb.model.explanation",
    "Node": "smithers_nb.run",
    "Project": "smithers_nb.project",
    "Run": "smithers_nb.run",
    "Verdict": "smithers_nb.model.verdict",
    "__version__": "smithers_nb._version",
    "ask": "smithers_nb.workflows.notebook.api",
    "autopsy": "smithers_nb.project",
    "connect": "smithers_nb.project",
    "gate": "smithers_nb.workflows.notebook.api",
    "stage": "smithers_nb.workflows.notebook.api",
}


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register `%autopsy` and `%runs`; called by `%load_ext smithers_nb`."""
    from smithers_nb.magics import register

    register(shell)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
