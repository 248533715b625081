"""What programs say that a notebook runs, how its kernel dies and where it hangs: real notebooks, really failed."""

from __future__ import annotations

import pytest

from smithers_nb.engine.location import Location
from smithers_nb.workflows.autopsy.stages import run_autopsy
from tests.support.durable import Project

GROUP = """
import asyncio
async def call():
    raise ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 8931)")
async def both():
    async with asyncio.TaskGroup() as group:
        group.create_task(call())
        group.create_task(call())
await both()
"""
HANGS = """
import socket, urllib.request
server = socket.create_server(("127.0.0.1", 0))
urllib.request.urlopen("http://127.0.0.1:%d/report" % server.getsockname()[1]).read()
"""
CASES = [
    (
        "%%bash\n# a 429 Too Many Requests is tried again, permission denied is not\ncp /no/such/latest.csv /tmp/in.csv",
        {"environment", "workflow-bug"},
        ["cannot stat '/no/such/latest.csv'", "Cell step-1 “%%bash”"],
        ["how fast requests", "permission is refused", "Too Many"],
    ),
    (
        "import subprocess\nsubprocess.run(['ls', '/no/such/folder'], check=True, capture_output=True)",
        {"environment", "workflow-bug"},
        ["It printed: ls: cannot access '/no/such/folder'"],
        ["does not say whose fault"],
    ),
    (
        "!pip install --no-index no-such-package-zzz",
        {"environment"},
        ["No module named 'no_such_package_zzz'", "`!pip install --no-index no-such-package-zzz` had said: ERROR: No matching"],
        [],
    ),
    (GROUP, {"environment"}, ["caused by ConnectionRefusedError", "8931"], ["took longer"]),
    ("import os\nos._exit(3)", {"workflow-bug"}, ["its process exited with status 3"], ["memory runs out"]),
    ("import getpass\ngetpass.getpass('Token: ')", {"workflow-bug"}, ["let the run ask with `ask`"], ["value that the workflow"]),
    ("%%nosuchmagic\nselect 1", {"workflow-bug"}, ["%%nosuchmagic", "`%load_ext`"], []),
]


@pytest.mark.parametrize("case", CASES, ids=[case[0].splitlines()[-1][:30] for case in CASES])
def test_the_programs_own_words(tmp_path, case):
    """The class is right, the verdict quotes what was really said, and nothing that only stands in the author's text."""
    cell, classes, said, never = case
    cells = [cell, "import no_such_package_zzz"] if cell.startswith("!pip") else [cell]
    project = Project(Location.of(tmp_path))
    run_id = project.submit(*cells)
    assert project.execute(run_id).status == "failed"
    verdict = run_autopsy(project.root, run_id)
    assert verdict.failure_class in classes
    assert [words for words in said if words not in verdict.root_cause] == []
    assert [words for words in never if words in verdict.root_cause + verdict.suggestion_detail] == []


def test_a_cell_that_hangs_on_the_network(tmp_path):
    """It is told where it waits, and that it waits for somebody else: no certain fault of its own."""
    project = Project(Location.of(tmp_path))
    run_id = project.submit(HANGS, cell_timeout_s=1.5)
    assert project.execute(run_id).status == "failed"
    verdict = run_autopsy(project.root, run_id)
    assert (verdict.failure_class, verdict.confidence) == ("environment", "medium")
    assert "“urllib.request.urlopen(" in verdict.root_cause
    assert "waited for an answer from the network" in verdict.root_cause
