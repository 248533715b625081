"""What a hostile notebook, a hostile moment or a hostile machine does to a run: it ends with a status that is true, and says why."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from smithers_nb.engine.control import decide, submit
from smithers_nb.engine.journal import Journal
from smithers_nb.engine.journal.records import INPUT, Node, read_output
from smithers_nb.engine.journal.store import unusable
from smithers_nb.engine.location import Location
from smithers_nb.engine.workers import dbos
from smithers_nb.engine.workers.executor import Executor, executing
from smithers_nb.engine.workers.foreground import run_here
from smithers_nb.errors import ControlRefused, JournalUnusable, ParameterError
from tests.support.durable import Project, effect, until

_GATE = "from smithers_nb import gate\n"


@pytest.fixture
def project(tmp_path):
    """An empty project."""
    return Project(Location.of(tmp_path))


@pytest.mark.parametrize("message", ["", "[1]", '{"node_id": "g", "status": "finished"}', '{"node_id": ["g"]}'])
def test_only_a_gate_parks_a_run(project, message):
    """An exception of the user's that is called like ours fails the run: nobody could decide, and nothing must pass for finished."""
    run_id = project.submit(f"class Parked(BaseException): pass\nraise Parked({message!r})", effect("never"))
    assert project.execute(run_id).status == "failed"
    assert project.error(run_id)["code"] == "Parked"
    assert project.lines() == []


@pytest.mark.parametrize(
    "cell",
    [
        _GATE + "try:\n    gate('g', 'Go on?')\nexcept BaseException:\n    pass",
        _GATE + "import threading\nthread = threading.Thread(target=gate, args=('g', 'Go on?'))\nthread.start()\nthread.join()",
    ],
    ids=["caught", "thread"],
)
@pytest.mark.slow
def test_a_run_that_asks_is_not_finished(project, cell):
    """A notebook that swallows the end at a gate waits at it all the same, and is finished once somebody has decided."""
    run_id = project.submit(cell)
    assert project.execute(run_id).status == "waiting-approval"
    assert project.execute(run_id).status == "waiting-approval"
    decide(project.location, run_id, approved=True, by="ann", resume=False)
    assert project.execute(run_id).status == "finished"


def test_a_notebook_that_ends_with_a_message(project):
    """A text given to `sys.exit` is quoted as one."""
    outcome = project.execute(project.submit("import sys\nsys.exit('no region')"))
    assert outcome.reason.message == "the notebook ended early at cell 2 of 2: it called sys.exit('no region')"


@pytest.mark.parametrize("leave", ["sys.exit(0)", "quit()"])
def test_a_notebook_that_ends_itself_has_not_finished(project, leave):
    """What papermill takes for a good end is a failure with a reason, because cells have not begun and a stage has not ended."""
    run_id = project.submit(
        "import sys, threading, time\nfrom smithers_nb import stage\nbegun = threading.Event()\n"
        "def left(): begun.set(); time.sleep(60)\n"
        "threading.Thread(target=stage, args=('left', left), daemon=True).start()\nbegun.wait(60)\n" + leave,
        effect("never"),
    )
    outcome = project.execute(run_id)
    assert (outcome.status, outcome.reason.code) == ("failed", "ENDED_EARLY")
    assert outcome.reason.message == "the notebook ended early at cell 2 of 3: it called sys.exit(0)"
    assert project.states(run_id) == {"parameters": "finished", "step-1": "failed", "left": "failed"}
    assert project.lines() == []


@pytest.mark.slow
def test_a_damaged_engine_database_is_told_in_one_line(project, capfd):
    """Whoever starts a run is told which file cannot be used; the run waits, and goes on once the file is out of the way."""
    file = project.location.file.with_name("dbos.db")
    run_id = project.submit(effect("done"))
    file.write_text("no database")
    with pytest.raises(JournalUnusable, match=r"dbos\.db cannot be used: file is not a database"):
        run_here(project.location, run_id)
    assert project.run(run_id).status == "waiting-worker"
    file.unlink()
    assert run_here(project.location, run_id).status == "finished"
    assert "Traceback" not in capfd.readouterr().err


def test_an_engine_database_that_goes_away_changes_no_outcome(project, capfd):
    """A run that ended in the journal has ended, whatever the durable engine can or cannot write down."""
    run_id = project.submit("import pathlib\nfor file in pathlib.Path('.smithers_nb').glob('dbos.db*'):\n    file.unlink()", effect("done"))
    assert run_here(project.location, run_id).status == "finished"
    assert project.lines() == ["done"]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("outlived", ["success", "queued"])
def test_what_the_engine_has_heard_of_is_executed_all_the_same(project, outlived):
    """Neither a queue that nobody serves nor a database that outlived its journal keeps a foreground run from being executed, once."""
    from dbos import DBOS, SetWorkflowID

    with Journal.open(project.location) as journal, executing(Executor(journal)), SetWorkflowID("run-1:1"):
        if outlived == "queued":
            DBOS.enqueue_workflow("notebooks", dbos._workflow(), "run-1", 1)
        else:
            project.submit(effect("other"), run_id="run-1")
            DBOS.start_workflow(dbos._workflow(), "run-1", 1).get_result()
    if outlived == "success":
        for file in project.location.file.parent.glob("journal.db*"):
            file.unlink()
        project.root.joinpath("effects").unlink(missing_ok=True)
    run_id = project.submit(effect("done"), run_id="run-1")
    assert run_here(project.location, run_id).status == "finished"
    assert project.lines() == ["done"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.slow
def test_a_run_ends_with_its_terminal_or_its_service(project, number):
    """A foreground run that is told to end, or whose terminal closes, is cancelled like with Ctrl-C, and not left as running."""
    notebook = project.notebook("open('begun', 'w').close()\nimport time; time.sleep(60)")
    code = "import sys; from smithers_nb.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "up", str(notebook), "--run-id", "r"]
    with subprocess.Popen(
        command,
        cwd=project.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # noqa: PLW1509  # ignored under nohup, and rightly so
    ) as process:
        until((project.root / "begun").exists)
        process.send_signal(number)
        printed = process.communicate(timeout=30)[0]
    assert (process.returncode, project.run("r").status) == (2, "cancelled"), printed
    assert "cancelled" in printed


@pytest.mark.parametrize(
    "url", ["postgresql://ann:se/cret@host/db", "postgresql://ann:secret@host:port/db", "postgresql://ann:secret@[::1/db"]
)
def test_a_malformed_url_is_told_without_its_password(url):
    """Whoever mistypes the URL of a database reads what is wrong, in one line and without any part of the password."""
    with pytest.raises(ParameterError, match="the host and port") as told:
        Location.of(database=url)
    assert not any(part in f"{told.value} {told.value.hint}" for part in ("secret", "cret", "'se'"))


def test_what_is_refused_is_not_taken_for_locked():
    """The hint follows what the server says, not the name of what it speaks of."""
    assert "permission" in unusable("the journal", OSError(1, "permission denied for database locked")).hint


def test_no_cell_takes_the_place_of_the_parameters(project):
    """A cell whose id is `input` leaves the run's parameters as they are: a later execution still gets them."""
    notebook = project.notebook("name * 2", "print(name)")
    notebook.write_text(notebook.read_text("utf-8").replace('"step-1"', '"input"'), "utf-8")
    run_id = submit(project.location, notebook, {"name": "ann"}, cwd=project.root)
    assert project.execute(run_id).status == "finished"
    with Journal.open(project.location) as journal, journal.reading() as connection:
        assert read_output(connection, Node(run_id, INPUT))["name"] == "ann"


@pytest.mark.slow
def test_cells_that_share_an_id_keep_theirs_apart(project, capfd):
    """Cells without an id of their own get the same ones in every execution, so that a node has one history; nobody is warned."""
    notebook = project.notebook("1", "2")
    notebook.write_text(notebook.read_text("utf-8").replace('"step-2"', '"step-1"'), "utf-8")
    run_id = submit(project.location, notebook, {}, cwd=project.root)
    assert {project.execute(run_id).status for _ in range(2)} == {"finished"}
    assert project.states(run_id).keys() == {"parameters", "step-1", "cell-3"}
    assert capfd.readouterr().err == ""


def test_who_decides_second_is_told_what_the_first_has_decided(project):
    """The second of two people who name no gate reads which gate was decided, how and by whom."""
    run_id = project.submit(_GATE + "gate('g', 'Go on?')")
    project.execute(run_id)
    decide(project.location, run_id, approved=False, by="ann")
    with pytest.raises(ControlRefused) as told:
        decide(project.location, run_id, approved=True, by="bob")
    assert "'g' was denied by ann" in told.value.hint
