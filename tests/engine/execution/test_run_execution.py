"""One execution of one run: whatever happens to it, the run has a status, and a failure its reason."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import nbformat
import pytest

from smithers_nb.engine.execution.lease import MAX_STARTS
from smithers_nb.engine.execution.outcome import notebook_of
from smithers_nb.engine.execution.run_execution import abandon
from smithers_nb.engine.journal import Journal, executions
from smithers_nb.engine.journal.leases import new_owner, register, take_lease
from smithers_nb.engine.journal.schema import runs
from smithers_nb.engine.location import Location
from tests.support.durable import Project, effect, until


@pytest.fixture
def project(tmp_path):
    """An empty project."""
    return Project(Location.of(tmp_path))


def test_every_cell_of_a_plain_notebook_is_a_node(project):
    """Any papermill notebook leaves a run with its parameters, a node for each code cell and what the cell gave."""
    run_id = project.submit("text = name * count", "text", parameters={"name": "ab", "count": 2})
    outcome = project.execute(run_id)
    assert (outcome.status, outcome.reason) == ("finished", None)
    assert project.states(run_id) == {"parameters": "finished", "step-1": "finished", "step-2": "finished"}
    executed = nbformat.read(notebook_of(project.location, run_id), as_version=4)
    assert executed.cells[-1].outputs[-1].data["text/plain"] == "'abab'"
    assert project.event_types(run_id)[-1] == "RunFinished"


def test_a_failing_cell_fails_the_run_with_its_own_error(project):
    """The run says what the cell raised, where, and with which stack; later cells are not run."""
    run_id = project.submit("1 / 0", effect("never"))
    outcome = project.execute(run_id)
    error = project.error(run_id)
    assert outcome.status == "failed"
    assert (error["code"], error["message"], error["source"]) == ("ZeroDivisionError", "division by zero", "node:step-1")
    assert "1 / 0" in error["stack"]
    assert "\x1b" not in error["stack"]
    assert project.states(run_id) == {"parameters": "finished", "step-1": "failed"}
    assert project.lines() == []


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "KERNEL_DIED"),
        ("import time; time.sleep(60)", "TASK_TIMEOUT"),
        ("raise KeyError()", "KeyError"),
        ("raise SystemExit(3)", "SystemExit"),
        ("class Odd(Exception): pass\nraise Odd('x' * 5_000_000)", "Odd"),
        ("raise ValueError('\\x00 </script> \\u202e')", "ValueError"),
        ("raise ValueError('\\ud800')", "UnicodeEncodeError"),  # a message that is no Unicode never leaves the kernel
        ("def broken(:", "SyntaxError"),
        ("raise ExceptionGroup('both', [ValueError('a'), KeyError('b')])", "ExceptionGroup"),
    ],
)
def test_nothing_fails_without_a_reason(project, cell, code):
    """However a cell ends, the run, the node and the log say why, in bounded size."""
    run_id = project.submit(cell, cell_timeout_s=3.0)
    assert project.execute(run_id).status == "failed"
    error = project.error(run_id)
    assert error["code"] == code
    assert error["message"]
    assert len(json.dumps(error)) < 200_000
    assert project.states(run_id)["step-1"] == "failed"
    assert "NodeFailed" in project.event_types(run_id)


def test_the_whole_notebook_has_a_limit_too(project):
    """A notebook that never ends is ended by its total limit, although each cell keeps to its own."""
    run_id = project.submit("import time\nfor _ in range(100):\n    time.sleep(1)", cell_timeout_s=90.0, total_timeout_s=3.0)
    assert project.execute(run_id).status == "failed"
    assert project.error(run_id)["code"] == "TASK_TIMEOUT"


def test_a_notebook_that_prints_fifty_megabytes_is_kept(project):
    """Output of any size neither fails the run nor gets into the journal."""
    run_id = project.submit("print('x' * 50_000_000)", "'y' * 100_000")
    assert project.execute(run_id).status == "finished"
    assert notebook_of(project.location, run_id).stat().st_size > 50_000_000
    assert project.location.file.stat().st_size < 1_000_000


def test_a_cancelled_run_ends_as_cancelled(project):
    """A run that somebody cancels stops soon, as cancelled and not as failed, and its open cell with it."""
    run_id = project.submit(effect("begun") + "\nimport time; time.sleep(60)")
    found = []
    thread = threading.Thread(target=lambda: found.append(project.execute(run_id)))
    thread.start()
    until(project.lines)
    with Journal.open(project.location) as journal, journal.writing(run_id) as connection:
        connection.execute(runs.update().values(cancel_requested_at_ms=1))
    thread.join(20)
    assert found[0].status == "cancelled"
    assert project.states(run_id)["step-1"] == "cancelled"
    assert project.run(run_id).error_json is None


def test_an_execution_that_lost_its_run_writes_nothing_more(project):
    """When another process takes a run over, the first one stops its kernel and leaves every row as it is."""
    run_id = project.submit(effect("begun") + "\nimport time; time.sleep(60)", effect("never"))
    found = []
    thread = threading.Thread(target=lambda: found.append(project.execute(run_id)))
    thread.start()
    until(project.lines)
    with Journal.open(project.location) as journal, journal.writing(run_id) as connection:
        connection.execute(runs.update().values(runtime_owner_id="pid:1:somebody-else"))
    thread.join(20)
    assert found[0].status == "running"
    assert (project.run(run_id).status, project.run(run_id).runtime_owner_id) == ("running", "pid:1:somebody-else")
    assert project.states(run_id)["step-1"] == "in-progress"
    assert project.lines() == ["begun"]


def test_a_run_of_a_living_process_is_left_alone(project):
    """Who finds a run in the hands of a process that is alive does nothing to it."""
    run_id = project.submit(effect("never"))
    with Journal.open(project.location) as journal:
        register(journal, other := new_owner())
        with journal.writing(run_id) as connection:
            assert take_lease(connection, run_id, other)
    assert project.execute(run_id).status == "running"
    assert project.lines() == []


def test_what_kills_its_process_each_time_is_given_up(project):
    """An execution that took its process down several times is failed with a reason instead of being begun for ever."""
    run_id = project.submit(effect("never"))
    with Journal.open(project.location) as journal, journal.writing(run_id) as connection:
        execution = executions.want(connection, run_id, queued=True)
        for _ in range(MAX_STARTS):
            executions.begin(connection, execution, "pid:1:dead")
    assert project.execute(run_id, execution).status == "failed"
    assert project.error(run_id)["code"] == "AUTO_RESUME_GAVE_UP"
    assert project.lines() == []


def test_an_execution_that_was_left_behind_wants_no_second_successor(project):
    """What a dead process left is wanted again, unless the run has gone on since: then it is just over."""
    run_id = project.submit("1")
    with Journal.open(project.location) as journal:
        with journal.writing(run_id) as connection:
            left = executions.want(connection, run_id, queued=True)
            executions.begin(connection, left, "pid:1:dead")
        abandon(journal, left)
        with journal.writing(run_id) as connection:
            again = executions.want(connection, run_id, queued=True)
            assert again.number == left.number + 1
            executions.begin(connection, again, "pid:1:dead")
            third = executions.want(connection, run_id, queued=True)
            executions.begin(connection, third, "pid:2:alive")
        abandon(journal, again)
        with journal.reading() as connection:
            assert [one.execution for one in executions.unfinished(connection)] == [third]


def test_a_notebook_that_is_gone_is_a_reason(project):
    """A run whose notebook was deleted before it began fails and says so."""
    run_id = project.submit(effect("never"))
    (project.root / "job.ipynb").unlink()
    assert project.execute(run_id).status == "failed"
    assert project.error(run_id)["code"] == "NOTEBOOK_NOT_STARTED"
    assert "job.ipynb" in project.error(run_id)["message"]


def test_a_full_disk_is_a_reason(project):
    """A notebook that cannot be saved fails its run, which says that it was the saving."""
    run_id = project.submit("1 + 1")
    folder = notebook_of(project.location, run_id).parent
    folder.parent.mkdir(parents=True)
    folder.write_text("a file where the folder should be")
    assert project.execute(run_id).status == "failed"
    assert project.error(run_id)["code"] == "NOTEBOOK_NOT_SAVED"


def test_cells_run_where_the_run_was_started(project):
    """A run's cells find themselves in the folder it was started from, and know their run."""
    where = project.root / "sub folder"
    where.mkdir()
    cells = "import os; (os.path.basename(os.getcwd()), os.environ['SMITHERS_NB_RUN_ID'])"
    from smithers_nb.engine import control

    run_id = control.submit(project.location, project.notebook(cells), {}, cwd=where)
    assert project.execute(run_id).status == "finished"
    executed = nbformat.read(notebook_of(project.location, run_id), as_version=4)
    assert executed.cells[-1].outputs[-1].data["text/plain"] == repr((where.name, run_id))


@pytest.mark.slow
def test_the_kernel_is_gone_with_the_process_that_started_it(project):
    """Kill -9 of the process that executes a run leaves no kernel behind."""
    run_id = project.submit("import os\nopen('pid', 'w').write(f'{os.getpid()} ')\nimport time; time.sleep(60)")
    process = project.process(run_id)
    pid = int(until(lambda: project.lines("pid"))[0])
    process.kill()
    process.communicate()
    until(lambda: not _alive(pid), 10)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIG_DFL)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
