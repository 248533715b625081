"""Runs operated from the command line, as processes of their own: up, resume, approve, answer, cancel, retry-task, rewind, logs, worker.

Starting a kernel takes a second, so each test takes one run through several commands.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from smithers_nb.engine.journal import Journal
from smithers_nb.engine.journal.schema import metadata
from smithers_nb.engine.location import Location
from tests.support.history import cell, write_notebook

PROGRAM = (sys.executable, "-c", "import sys; from smithers_nb.cli import main; sys.exit(main())")
STEPS = """
import pathlib
from smithers_nb.engine.stages import ask, gate, stage
def once(name):
    with open('effects', 'a') as file:
        file.write(name + ' ')
    return {'name': name}
"""


class Answer:
    """What a command left behind."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Shop:
    """A project in which commands are called."""

    def __init__(self, folder: Path, here: Callable[..., Any]) -> None:
        self.folder = folder
        self.here = here  # a command in this process, for those that start no kernel
        self.location = Location.of(folder)
        self.environment = {**os.environ, "SMITHERS_POST_FAILURE": "0"}
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *words: object) -> subprocess.Popen[str]:
        command = [*PROGRAM, *map(str, words)]
        pipe = subprocess.PIPE
        self.started.append(subprocess.Popen(command, cwd=self.folder, env=self.environment, text=True, stdout=pipe, stderr=pipe))
        return self.started[-1]

    def end(self) -> None:
        """End what a failed test has left, so that the next one does not fail of it."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def __call__(self, *words: object) -> Answer:
        command = [*PROGRAM, *map(str, words)]
        run = subprocess.run(command, cwd=self.folder, env=self.environment, text=True, capture_output=True, timeout=90, check=False)
        return Answer(run)

    def notebook(self, *sources: str, name: str = "job") -> Path:
        cells = (cell(source, name=f"step-{number}") for number, source in enumerate(sources, 1))
        return write_notebook(self.folder / f"{name}.ipynb", cell('who: str = "nobody"', name="parameters", tags=("parameters",)), *cells)

    def rows(self, table: str, run_id: str) -> list[Any]:
        found = metadata.tables[table]
        with Journal.open(self.location) as journal, journal.reading() as connection:
            return list(connection.execute(found.select().where(found.c.run_id == run_id)))

    def status(self, run_id: str) -> str:
        return self.rows("_smithers_runs", run_id)[0].status

    @property
    def effects(self) -> list[str]:
        file = self.folder / "effects"
        return file.read_text().split() if file.exists() else []


@pytest.fixture
def shop(tmp_path: Path, cli, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """An empty project, and the current folder."""
    (tmp_path / ".smithers_nb").mkdir()
    monkeypatch.chdir(tmp_path)
    made = Shop(tmp_path, cli)
    yield made
    made.end()


def until(condition, seconds: float = 30.0) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


@pytest.mark.slow
def test_a_plain_notebook_is_a_run(shop: Shop) -> None:
    """Any papermill notebook runs: parameters arrive, each cell is a node, the outcome names the notebook; a second resume is nothing."""
    notebook = shop.notebook("print('hello', who)")
    done = shop("up", notebook, "-p", "who", "007", "--run-id", "r1", "--format", "json")
    assert (done.code, done.json["status"], done.json["waitingFor"]) == (0, "finished", [])
    executed = json.loads(Path(done.json["notebook"]).read_text())
    assert "hello 007" in json.dumps(executed)
    assert {row.node_id for row in shop.rows("_smithers_nodes", "r1")} >= {"parameters", "step-1"}
    again = shop.here("resume", "r1")
    assert again.code == 0
    assert "nothing left to do" in again.err
    logs = shop.here("logs", "r1", "-n", "2")
    assert "RunFinished" in logs.out
    assert "hello 007" in logs.out
    assert "RunCreated" not in logs.out
    assert shop.here("up", notebook, "--run-id", "r1").code == 4


@pytest.mark.slow
def test_people_and_stages(shop: Shop) -> None:
    """A question and a gate park the run with exit code 3; what is said continues it in the background; stages are done once."""
    notebook = shop.notebook(
        STEPS,
        "stage('load', once, 'load')\nregion = ask('region', 'Which region?', options=['eu', 'us'])",
        "decision = gate('publish', 'Publish?', f'to {region}')\nstage('send', once, f'send-{region}-{decision.approved}')",
    )
    parked = shop("up", notebook, "--run-id", "r1")
    assert parked.code == 3
    assert "Which region?" in parked.out
    assert "smithers-nb human answer human:r1:region:0 --value eu" in parked.out
    for unfit in ("mars", '"mars"', "…"):
        assert shop.here("human", "answer", "r1", "--value", unfit).code == 4
    assert shop.here("approve", "r1").code == 4
    assert shop.here("human", "inbox", "--format", "json").json[0]["requestId"] == "human:r1:region:0"
    assert shop("human", "answer", "r1", "--value", "us", "--by", "Ann").code == 0
    until(lambda: shop.status("r1") == "waiting-approval")
    follower = shop.start("logs", "r1", "--follow", "--format", "jsonl")
    said = shop("approve", "r1", "--note", "fine", "--by", "Ann", "--format", "json")
    assert said.json == {"runId": "r1", "nodeId": "publish", "iteration": 0, "result": "approved", "continues": True}
    lines = [json.loads(line) for line in follower.communicate(timeout=60)[0].splitlines()]
    assert follower.returncode == 0
    assert {"RunCreated", "HumanAnswered", "ApprovalGranted", "RunFinished"} <= {line.get("type") for line in lines}
    assert shop.effects == ["load", "send-us-True"]
    assert "Ann" in str(shop.here("deny", "r1", "--node", "publish").err)


@pytest.mark.slow
def test_a_failure_and_its_repair(shop: Shop) -> None:
    """A failed run exits with 1 and names node and reason; after an edit it goes on with consent only, and finished stages stay."""
    broken = "def read():\n    raise ValueError('no such table')\n"
    notebook = shop.notebook(STEPS, f"{broken}stage('load', once, 'load')\nstage('read', read)")
    failed = shop("up", notebook, "--run-id", "r0")
    assert "read: no such table" in failed.out
    assert "Also failed" not in shop.here("why", "r0").out  # the cell around the stage is not another failure
    notebook = shop.notebook(STEPS, f"{broken}stage('load', once, 'load')\nread()")
    (shop.folder / "effects").unlink()
    failed = shop("up", notebook, "--run-id", "r1")
    assert failed.code == 1
    assert "“raise ValueError('no such table')”: no such table" in failed.out  # not the id that a machine made up
    assert "smithers-nb why r1" in failed.out
    shop.notebook(STEPS, "stage('load', once, 'load')\nstage('send', once, 'send')")
    refused = shop.here("resume", "r1")
    assert refused.code == 4
    assert "workflow entry file changed" in refused.err
    assert "step-2" in refused.err
    assert shop.here("retry-task", "r1", "load", "--yes").code == 4
    assert shop("up", notebook, "--run-id", "r1", "--resume", "--accept-workflow-change").code == 0
    assert shop.effects == ["load", "send"]
    assert shop.here("rewind", "r1", "load").code == 4  # nobody is there to confirm
    back = shop.here("rewind", "r1", "load", "--yes", "--format", "json")
    assert back.json["toFrameNo"] == 1
    assert shop.status("r1") == "paused"
    retried = shop("retry-task", "r1", "load", "--detach", "--yes")
    assert (retried.code, retried.out.strip()) == (0, "r1")
    assert "resets" in retried.err
    assert shop("logs", "r1", "--follow", "-n", "0", "--no-output").code == 0
    assert shop.effects == ["load", "send", "load", "send"]


@pytest.mark.slow
def test_stopping_runs(shop: Shop) -> None:
    """A live run is cancelled by command and by Ctrl-C with exit code 2; who resumes a live one is refused; a kernel that dies fails."""
    notebook = shop.notebook("import pathlib, time\npathlib.Path(f'began-{who}').touch()\ntime.sleep(60)")
    first = shop.start("up", notebook, "--run-id", "r1", "-p", "who", "r1")
    second = shop.start("up", notebook, "--run-id", "r2", "-p", "who", "r2")
    until((shop.folder / "began-r1").exists)
    assert shop.here("cancel", "nope").code == 4
    refused = shop.here("resume", "r1", "--force")
    assert refused.code == 4
    assert "executed by a live process" in refused.err
    assert shop.here("retry-task", "r1", "step-1", "--yes", "--force").code == 4
    assert shop.here("rewind", "r1", "0", "--yes").code == 4
    asked = shop.here("cancel", "r1", "--format", "json")
    assert (asked.code, asked.json["result"]) == (0, "requested")
    assert "cancelled" in first.communicate(timeout=30)[0]
    assert first.returncode == 2
    until((shop.folder / "began-r2").exists)
    second.send_signal(signal.SIGINT)
    out, err = second.communicate(timeout=30)
    assert "cancelled" in out, err
    assert second.returncode == 2
    assert [shop.status(run_id) for run_id in ("r1", "r2")] == ["cancelled", "cancelled"]
    assert shop.here("cancel", "r1").code == 4


@pytest.mark.slow
def test_limits_and_dead_kernels(shop: Shop) -> None:
    """A notebook that never ends is stopped at its total limit, one that kills its kernel fails; each says so in one line."""
    slow = shop("up", shop.notebook("import time\ntime.sleep(60)", name="slow"), "--run-id", "slow", "--timeout", "3", "--format", "json")
    dead = shop("up", shop.notebook("import os\nos.kill(os.getpid(), 9)", name="dead"), "--run-id", "dead", "--format", "json")
    assert (slow.code, dead.code) == (1, 1)
    assert "took longer" in slow.json["reason"]["message"]
    assert "kernel" in dead.json["reason"]["message"].lower()
    assert {shop.status("slow"), shop.status("dead")} == {"failed"}
    assert "Traceback" not in slow.err + dead.err


@pytest.mark.slow
def test_of_two_who_resume_at_once_one_wins(shop: Shop) -> None:
    """The same run resumed by two processes at once is executed once; the other is told who has it."""
    failing = "import os\nif not os.path.exists('ok'): raise ValueError('not yet')\n"
    notebook = shop.notebook(STEPS, f"{failing}once('resumed')\nimport time; time.sleep(1)")
    assert shop("up", notebook, "--run-id", "r1").code == 1
    (shop.folder / "ok").touch()
    both = [shop.start("resume", "r1") for _ in range(2)]
    errors = [process.communicate(timeout=60)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 4]
    assert shop.effects == ["resumed"]
    assert any("still running" in error or "live process" in error for error in errors)


@pytest.mark.slow
def test_an_edit_while_parked(shop: Shop) -> None:
    """A notebook that is edited while its run is parked: the decision is kept, the run is paused, and goes on with consent."""
    gate = "from smithers_nb.engine.stages import gate\nprint(gate('publish', 'Publish?').approved)"
    assert shop("up", shop.notebook(gate), "--run-id", "r1").code == 3
    shop.notebook(f"{gate}\n# edited")
    said = shop("approve", "r1")
    assert said.code == 0
    assert "--accept-workflow-change" in said.out
    until(lambda: shop.status("r1") == "paused")
    refused = shop.here("resume", "r1")
    assert refused.code == 4
    assert "RESUME_METADATA_MISMATCH" in refused.err or "workflow entry file changed" in refused.err
    assert shop("resume", "r1", "--accept-workflow-change").code == 0
    assert [row.status for row in shop.rows("_smithers_approvals", "r1")] == ["approved"]


@pytest.mark.slow
def test_the_live_page(shop: Shop) -> None:
    """`--serve` shows state, gate and report to who has the token, on this machine only, and ends with the run."""
    notebook = shop.notebook("from smithers_nb.engine.stages import gate\ngate('publish', '<b>Publish?</b>')")
    process = shop.start("up", notebook, "--run-id", "r1", "--serve")
    line = process.stderr.readline()
    address, _, query = line.rpartition(" ")[2].strip().partition("?")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/run/r1", address)
    until(lambda: fetch(f"{address}/run.json?{query}")[1].get("asks"), 30)
    until(lambda: fetch(f"{address}/report?{query}", raw=True)[0] == 200, 30)  # the notebook is saved after it has asked
    assert fetch(address, raw=True)[0] == 403
    assert fetch(f"{address}?token=wrong", raw=True)[0] == 403
    assert fetch(f"{address}/run.json?{query}", raw=True, host="evil.example")[0] == 403
    assert shop.here("cancel", "r1").code == 0
    told, said = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "continued in another process and is cancelled" in said
    assert "smithers-nb resume r1" in told.rpartition("cancelled")[2]


def fetch(address: str, *, raw: bool = False, host: str | None = None) -> Any:
    """Read an address of the live page."""
    request = urllib.request.Request(address, headers={"Host": host} if host else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read().decode()
            return answer.status, text if raw else json.loads(text), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, "", error.headers
