"""The record of a notebook in which a cell was stopped has a verdict: what is known, and what the file cannot tell."""

from __future__ import annotations

import pytest

from smithers_nb.project import Project
from tests.support.notebooks import TIMES, by_papermill, code, error, notebook, printed, run_block, write

WAITED = "File /usr/lib/python3.12/socket.py:720, in SocketIO.readinto(self, b)\n--> 720     return self._sock.recv_into(b)"
CALL = "Cell In[2], line 1\n----> 1 fetch()"
STOP = error("KeyboardInterrupt", "", "KeyboardInterrupt      Traceback (most recent call last)", CALL, WAITED, "KeyboardInterrupt: ")
LATE = {key: value for key, value in TIMES.items() if key != "shell.execute_reply"}


def recorded(tmp_path, **noted):
    """The run of a notebook whose last cell was stopped."""
    cells = (code("x = 1", 1, **by_papermill()), code("fetch()", 2, STOP, **noted))
    return Project(write(tmp_path, stopped=notebook(*cells, **run_block())) / "stopped.ipynb")["stopped"]


@pytest.mark.parametrize("noted", [by_papermill(), {}], ids=["papermill", "Jupyter"])
def test_an_interrupted_cell_has_a_verdict(tmp_path, noted):
    """It blames nobody, quotes the cell and says what to do."""
    run = recorded(tmp_path, **noted)
    row, why = run.autopsy(), run.why()
    assert (row.failure_class, why.failure_class, row.suggestion, row.rule) == ("unknown", "unknown", "retry", "interrupted")
    assert "(cell:1) did not come to its end: it was interrupted (KeyboardInterrupt)" in row.root_cause
    assert "does not tell a person from a time limit" in row.root_cause
    assert "raise the limit" in row.suggestion_detail
    assert row.evidence[0].ref == "attempt:cell:1/0/1"


def test_a_time_limit_keeps_where_the_cell_waited(tmp_path):
    """The traceback of the interrupt tells that the last cell waited for the network."""
    noted = by_papermill(duration=10.009)["papermill"]
    row = recorded(tmp_path, papermill=noted, execution=LATE).autopsy()
    assert (row.failure_class, row.rule) == ("environment", "hangs-on-the-network")
    assert "ran into its time limit" in row.root_cause


def test_what_a_program_printed_into_its_cell_is_read(tmp_path):
    """`subprocess.run` without capturing leaves the program's own words on the cell's stream."""
    failed = error("CalledProcessError", "Command '['deploy']' returned non-zero exit status 1.")
    said = printed("reading settings\nOSError: [Errno 28] No space left on device: '/srv/out'\n", "stderr")
    noted = by_papermill("failed", exception=True)
    content = notebook(code("subprocess.run(['deploy'], check=True)", 1, said, failed, **noted), **run_block(failed=True))
    row = Project(write(tmp_path, stopped=content) / "stopped.ipynb")["stopped"].autopsy()
    assert row.failure_class == "environment"
    assert "No space left on device" in row.root_cause
