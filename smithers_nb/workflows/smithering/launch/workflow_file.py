"""The implementation workflow: a notebook generated from one request's tickets, kept with the artifacts and run as a child.

The tickets are in the notebook itself, so its digest covers what will be built, and the file that was reviewed and approved is the file
that runs. Its parameters only say where, and by whom.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.artifacts import write_whole
from smithers_nb.redact import redact_value
from smithers_nb.workflows.smithering.results.launch import Scaffold, Verify
from smithers_nb.workflows.smithering.tickets import Ticket, TicketGraph

if TYPE_CHECKING:
    from collections.abc import Iterable

WORKFLOW: Final = "smithering-impl"
_CLASS: Final = "smithers_nb.workflows.smithering.launch.implementation:ImplementationParameters"
_PARAMETERS: Final = """\
build_run_id: str = ""  # run that the tickets belong to; names branches and evidence
repo: str = ""  # folder of the repository
base_branch: str = "main"  # branch that the integration branch starts from
artifacts: str = ""  # folder of the artifacts
provider: str = "codex_exec"  # who works
book: str = None  # answer book of the provider scripted
parallel: int = 2  # tickets worked on at a time
attempts: int = 4  # attempts per ticket
agent_timeout_minutes: float = 30  # how long one call of an agent may take
max_agent_calls: int = 500  # calls of agents in one run
command_timeout_minutes: float = 30  # how long one verification command may take
rehearse: bool = False  # check everything that can be checked without running a command of a ticket"""


def generate(path: Path, tickets: Iterable[Ticket], title: str) -> Scaffold:
    """Write the notebook.

    Args:
        path: Its file.
        tickets: What it builds.
        title: The request, on one line.
    """
    graph = TicketGraph(tickets)
    rows = redact_value([ticket.as_json() for ticket in graph])
    listed = "\n".join(f"- `{ticket.id}` {ticket.title}{_after(ticket)}" for ticket in graph)
    cells = [
        _markdown(
            "title",
            f"# {redact_value(title)[:200]}\n\nBuilds {len(graph)} tickets onto the integration branch; what was verified is what lands.",
        ),
        _code("parameters", _PARAMETERS, ["parameters"]),
        _markdown("h-tickets", f"## Tickets\n\n{listed}"),
        _code("tickets", f"import json\n\nTICKETS = json.loads({json.dumps(rows, ensure_ascii=True, indent=1)!r})"),
        _code("stages", "from smithers_nb.workflows.smithering.launch.implementation import implement"),
        _markdown("h-build", "## Build"),
        _code("build", f"implement(TICKETS, dict({', '.join(f'{name}={name}' for name in _names())}))"),
    ]
    notebook = {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "smithers_nb": {"nodes": "stages", "parameters": _CLASS, "title": "Implementation", "workflow": WORKFLOW},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    content = f"{json.dumps(notebook, indent=1, ensure_ascii=False)}\n".encode("utf-8", "replace")
    write_whole(path, content)
    return Scaffold(path=str(path), digest=hashlib.sha256(content).hexdigest(), ticket_count=len(graph))


def verify(scaffold: Scaffold, tickets: Iterable[Ticket]) -> Verify:
    """Check that the file is the one that was generated, can be read and run, and holds exactly these tickets."""
    from smithers_nb.engine.notebook.file import read_notebook
    from smithers_nb.errors import SmithersNbError

    path, errors = Path(scaffold.path), []
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != scaffold.digest:
            errors.append("the file is not the one that was generated")
        read_notebook(path)
        sources = {cell["id"]: "".join(cell["source"]) for cell in json.loads(content)["cells"] if cell["cell_type"] == "code"}
        for name, source in sources.items():
            compile(source, name, "exec")
        held = _tickets_in(sources["tickets"])
        if held != redact_value([ticket.as_json() for ticket in TicketGraph(tickets)]):
            errors.append("its tickets are not the ones that were planned")
    except (OSError, ValueError, KeyError, SyntaxError, SmithersNbError) as error:
        errors.append(f"{type(error).__name__}: {error}")
    return Verify(passed=not errors, command=f"read {path.name}", errors=tuple(errors), notes=f"sha256 {scaffold.digest[:12]}")


def _tickets_in(source: str) -> Any:
    """Read the tickets out of their cell without running it."""
    import ast

    call = ast.parse(source).body[-1].value  # type: ignore[attr-defined]  # an assignment, which verify compiles before
    return json.loads(ast.literal_eval(call.args[0]))


def _names() -> list[str]:
    return [line.partition(":")[0] for line in _PARAMETERS.splitlines()]


def _after(ticket: Ticket) -> str:
    return f", after {', '.join(ticket.depends_on)}" if ticket.depends_on else ""


def _markdown(name: str, source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": source}


def _code(name: str, source: str, tags: list[str] | None = None) -> dict[str, Any]:
    metadata = {"tags": tags} if tags else {}
    return {"cell_type": "code", "id": name, "metadata": metadata, "source": source, "outputs": [], "execution_count": None}
