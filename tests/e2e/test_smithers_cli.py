"""Our workflow under the real Smithers CLI; runs where one is: `SMITHERS_BIN` or `smithers` on PATH, and Bun."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from smithers_nb.engine.location import Location
from smithers_nb.model.rows import NodeRow, RunRow
from smithers_nb.sources.locate import open_smithers
from smithers_nb.workflows.pack.install import install as install_pack
from smithers_nb.workflows.pack.install_smithers import install, install_all

FAILS = """/** @jsxImportSource smithers-orchestrator */
import { createSmithers } from "smithers-orchestrator";
import { z } from "zod/v4";
const { Workflow, Task, smithers, outputs } = createSmithers({ boom: z.object({ value: z.number() }) });
export default smithers(() => (
  <Workflow name="fail-demo">
    <Task id="boom" output={outputs.boom} retries={0}>{async () => { throw new Error("no such thing as foo"); }}</Task>
  </Workflow>
));
"""


class Smithers:
    """The real CLI in a project folder."""

    def __init__(self, folder, command, library):
        self.folder, self.command = folder, command
        (folder / "node_modules").symlink_to(library)
        (folder / ".smithers").mkdir()
        subprocess.run(["git", "init", "-q", str(folder)], check=True)

    def __call__(self, *words, **environment):
        kept = {name: value for name, value in os.environ.items() if name != "SMITHERS_POST_FAILURE"}
        return subprocess.run(
            [*self.command, *words],
            cwd=self.folder,
            env={**kept, "SMITHERS_NO_REPORT": "1", **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def row(self, run_id):
        """Read what `smithers output RUN output` prints, once it is there."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            told = self("output", run_id, "output").stdout
            if told.startswith("{"):
                return json.JSONDecoder().raw_decode(told)[0]
            time.sleep(0.5)
        raise AssertionError(told)


@pytest.fixture
def smithers(tmp_path):
    """Find the CLI, or skip."""
    found, bun = os.environ.get("SMITHERS_BIN") or shutil.which("smithers"), shutil.which("bun")
    if found is None or bun is None:
        pytest.skip("no Smithers CLI: set SMITHERS_BIN, or put smithers and bun on PATH")
    library = next((location for location in Path(found).absolute().parents if location.name == "node_modules"), None)
    if library is None:
        pytest.skip("the Smithers CLI lies in no node_modules folder")
    return Smithers(tmp_path, [bun, found], library)


@pytest.mark.slow
def test_smithers_own_trigger_runs_our_autopsy(smithers):
    """A run fails under the real CLI, its own trigger launches our workflow, and `smithers output` prints our row."""
    install(smithers.folder)
    (smithers.folder / "fail.tsx").write_text(FAILS)
    done = smithers("up", "fail.tsx", "--format", "json")
    assert done.returncode == 1
    run_id = done.stderr.partition("autopsy launched: ")[2].partition(". ")[0]
    assert run_id.startswith("post-failure-"), done.stderr
    row = smithers.row(run_id)
    assert (row["failure_class"], row["suggestion"], row["bug_filed"]) == ("unknown", "escalate", False)
    assert "no such thing as foo" in row["root_cause"]
    assert Path(row["report"]).is_relative_to(smithers.folder / "artifacts")
    assert Path(row["report"]).is_file()


@pytest.mark.slow
@pytest.mark.parametrize(("word", "sent"), [("approve", 1), ("deny", 0)])
def test_a_person_decides_about_a_report(smithers, store, endpoint, word, sent):
    """For a suspected bug the workflow waits at its gate; approved it sends one report, denied none, and the row says which."""
    shutil.copyfile(store("prod-rollout"), smithers.folder / "smithers.db")
    install(smithers.folder)
    target = smithers("ps", "--format", "json").stdout
    target = json.JSONDecoder().raw_decode(target)[0]["runs"][0]["id"]
    asked = smithers("workflow", "run", "post-failure", "--run-id", "pf", "--input", json.dumps({"targetRunId": target}))
    assert asked.returncode == 3, asked.stderr
    assert endpoint.requests == []
    assert smithers(word, "pf", "--node", "approve-bug-report", "--by", "ann").returncode == 0
    proposed = json.loads(smithers("output", "pf", "propose-bug-report").stdout)
    assert proposed["endpoint"] == endpoint.url
    moved = {"SMITHERS_BUG_ENDPOINT": "http://127.0.0.1:9/elsewhere"}
    assert smithers("up", ".smithers/workflows/post-failure.tsx", "--run-id", "pf", "--resume", "true", **moved).returncode == 0
    row = smithers.row("pf")
    assert (row["bug_filed"], row["bug_id"], len(endpoint.requests)) == (sent == 1, "bug-7" if sent else "", sent)
    assert [request.json for request in endpoint.requests] == [json.loads(proposed["shown"])] * sent


@pytest.mark.slow
def test_a_handed_over_run_is_looked_into_by_our_pack(smithers):
    """`smithers-nb up FILE.tsx` where our pack is installed: Smithers' exit code, our line, one autopsy in our journal, none in theirs."""
    (smithers.folder / "fail.tsx").write_text(FAILS)
    install_pack(Location.of(smithers.folder))
    path = f"{Path(smithers.command[1]).parent}{os.pathsep}{Path(smithers.command[0]).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if name != "SMITHERS_POST_FAILURE"}
    command = [sys.executable, "-m", "smithers_nb", "up", "fail.tsx"]
    environment = {**kept, "PATH": path, "SMITHERS_NO_REPORT": "1"}
    done = subprocess.run(command, cwd=smithers.folder, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "[smithers] Run failed" not in done.stdout + done.stderr
    autopsy = done.stderr.partition("[smithers-nb] Run failed. Post-failure autopsy launched: ")[2].partition(". ")[0]
    log = smithers.folder / ".smithers_nb" / "logs" / f"{autopsy}.log"
    until = time.monotonic() + 60
    while f"{autopsy}: finished" not in log.read_text():
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.2)
    assert [row.workflow for row in open_smithers(smithers.folder).rows(RunRow)] == ["fail-demo"]


@pytest.mark.slow
def test_the_workflows_that_smithers_retired_run_again(smithers):
    """`workflow run monitor`, `triage-run` and `monitor-smithers` end with our rows about a failed run, without an agent."""
    install_all(smithers.folder)
    (smithers.folder / "fail.tsx").write_text(FAILS)
    assert smithers("up", "fail.tsx", "--run-id", "f1", SMITHERS_POST_FAILURE="0").returncode == 1
    for name, given in (("triage-run", {"targetRunId": "f1"}), ("monitor", {"targetRunId": "f1"}), ("monitor-smithers", {})):
        done = smithers("workflow", "run", name, "--run-id", name, "--input", json.dumps(given))
        assert done.returncode == 0, done.stderr
    triage, monitor, fleet = (smithers.row(name) for name in ("triage-run", "monitor", "monitor-smithers"))
    assert (triage["target_run_id"], triage["recommended_action"], triage["failing_nodes"]) == ("f1", "escalate", 1)
    assert (monitor["target_run_id"], monitor["health"], monitor["fix_applied"]) == ("f1", "failed", False)
    assert monitor["report_path"] == str(smithers.folder / "artifacts" / "monitor" / "f1.html")
    assert (fleet["verdict"], fleet["unhealthy_runs"]) == ("problems detected", 1)
    with closing(open_smithers(smithers.folder)) as source:
        assert not [row for row in source.rows(NodeRow) if row.state == "failed" and row.run_id != "f1"]


SLOW = """/** @jsxImportSource smithers-orchestrator */
import { createSmithers } from "smithers-orchestrator";
import { z } from "zod/v4";
import { existsSync } from "node:fs";
const { Workflow, Task, Sequence, smithers, outputs } = createSmithers({ part: z.object({ n: z.number() }) });
export default smithers(() => (
  <Workflow name="nightly-etl"><Sequence>
    <Task id="extract" output={outputs.part}>{async () => ({ n: 1 })}</Task>
    <Task id="transform" output={outputs.part}>{async () => {
      if (!existsSync("go")) await new Promise((done) => setTimeout(done, 60000));
      return { n: 2 };
    }}</Task>
  </Sequence></Workflow>
));
"""


@pytest.mark.slow
def test_autofix_resumes_a_killed_run(smithers):
    """An engine that was killed in the middle of a task is resumed by the monitor to its end, with the real CLI."""
    import sqlite3

    (smithers.folder / "etl.tsx").write_text(SLOW)
    store = smithers.folder / "smithers.db"
    engine = subprocess.Popen(
        [*smithers.command, "up", "etl.tsx", "--run-id", "etl-1"],
        cwd=smithers.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    until = time.monotonic() + 60
    state = None
    while state != "in-progress" and time.monotonic() < until:
        time.sleep(0.3)
        if store.exists():
            with closing(open_smithers(smithers.folder)) as source:
                state = next((row.state for row in source.rows(NodeRow, "etl-1") if row.node_id == "transform"), None)
    os.killpg(engine.pid, signal.SIGKILL)
    engine.wait()
    (smithers.folder / "go").touch()
    connection = sqlite3.connect(store)  # as if half a minute had passed
    connection.execute("update _smithers_runs set heartbeat_at_ms = heartbeat_at_ms - 60000, started_at_ms = started_at_ms - 60000")
    connection.commit()
    connection.close()
    words = ["monitor", "etl-1", "--autofix", "--no-require-approval", "--format", "json"]
    start = "import sys; from smithers_nb.cli import main; sys.exit(main())"
    answer = subprocess.run(
        [sys.executable, "-c", start, *words], cwd=smithers.folder, capture_output=True, text=True, timeout=180, check=False
    )
    assert answer.returncode == 0, answer.stderr
    row = json.loads(answer.stdout)
    assert (row["health"], row["state"], row["fix"]["resumed"]) == ("healthy", "succeeded", True)
    assert json.loads(smithers("inspect", "etl-1", "--format", "json").stdout.strip())["run"]["status"] == "finished"
