"""An agent CLI that is really started: a good one, and every way in which it can be a bad one."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from smithers_nb.workflows.autopsy.stages import run_autopsy

NOW = 1795181301665
RUN = "order-sync-013"


def test_a_good_answer_is_the_narrative(fleet, agent_cli, opinion):
    """What the CLI prints becomes the narrative, signed with the name of the program; chatter around the JSON does no harm."""
    agent_cli(f"print('thinking {{ hard'); print('```json'); print(json.dumps({opinion()!r})); print('```')")
    row = run_autopsy(fleet, RUN, now=NOW)
    assert row.root_cause == opinion()["rootCause"]
    assert row.authors.narrative.startswith("codex_exec (python")
    assert row.provider_notes == ()


def test_it_gets_one_document(fleet, agent_cli, opinion, tmp_path):
    """On standard input stand the instructions, the schema of the answer and the dossier, and nothing of it is secret."""
    seen = tmp_path / "seen.json"
    agent_cli(f"open({str(seen)!r}, 'w').write(json.dumps(given)); print(json.dumps({opinion()!r}))")
    run_autopsy(fleet, RUN, now=NOW)
    given = json.loads(seen.read_text())
    assert list(given) == ["instructions", "answerSchema", "dossier"]
    assert "quoted data" in given["instructions"]
    assert {"rootCause", "failureClass", "evidence"} <= given["answerSchema"]["properties"].keys()
    assert given["dossier"]["known"]["rule"] == "script-threw"
    assert given["dossier"]["attempts"][0]["ref"] == "attempt:normalize/0/1"


def test_it_sees_little_of_us(fleet, agent_cli, opinion, tmp_path, monkeypatch):
    """The CLI runs in an empty folder of its own; of the environment it gets what programs need, its own variables, and what is named."""
    seen = tmp_path / "seen.json"
    for name in ("OPENAI_API_KEY", "GITHUB_TOKEN", "CODEX_HOME", "MY_AGENT_LOGIN", "SMITHERS_BUG_URL"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("CODING_AGENT_ENV", "MY_AGENT_LOGIN, ")
    agent_cli(
        f"open({str(seen)!r}, 'w').write(json.dumps([dict(os.environ), os.getcwd(), os.listdir()])); print(json.dumps({opinion()!r}))"
    )
    run_autopsy(fleet, RUN, now=NOW)
    environment, folder, files = json.loads(seen.read_text())
    assert {"PATH", "CODEX_HOME", "MY_AGENT_LOGIN"} <= environment.keys()
    assert not {"OPENAI_API_KEY", "GITHUB_TOKEN", "SMITHERS_BUG_URL", "AGENT_PROVIDER"} & environment.keys()
    assert files == []
    assert not Path(folder).exists()


def test_no_shell_is_involved(fleet, agent_cli, opinion, tmp_path, monkeypatch):
    """Shell characters in the command are arguments like any others."""
    script = agent_cli(f"print(json.dumps({opinion()!r}))")
    monkeypatch.setenv("CODING_AGENT_CMD", f"{os.environ['CODING_AGENT_CMD']} ; touch {tmp_path}/owned $(touch {tmp_path}/owned)")
    assert run_autopsy(fleet, RUN, now=NOW).authors.narrative != "internal"
    assert script.exists()
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("sys.exit(1)", "failed to return valid structured JSON: it ended with exit code 1"),
        ("sys.exit('no login')", "(no login)"),
        ("print('I am sorry, Dave')", "failed to return valid structured JSON: no JSON object in its output"),
        ("print('{' * 100000)", "failed to return valid structured JSON"),
        ("print('[[[' * 100000)", "failed to return valid structured JSON"),
        ("sys.stdout.buffer.write(bytes(range(256)) * 99)", "failed to return valid structured JSON"),
        ("print(json.dumps({'rootCause': 'x'}))", "failureClass"),
        ("print(json.dumps({'rootCause': 'x', 'failureClass': 'gremlins'}))", "failureClass"),
        ("pass", "no JSON object in its output"),
        ("os.kill(os.getpid(), 9)", "exit code -9"),
    ],
)
def test_a_program_that_fails_leaves_the_internal_verdict(fleet, agent_cli, code, said):
    """Exit codes, garbage and answers of another form end in the internal verdict, which says why and what to try."""
    agent_cli(code)
    row = run_autopsy(fleet, RUN, now=NOW)
    (note,) = row.provider_notes
    assert said in note
    assert "The verdict is the internal one. To get one: unset AGENT_MODEL, increase AGENT_TIMEOUT_SECONDS" in note
    assert (row.failure_class, row.authors.narrative) == ("workflow-bug", "internal")


def test_a_program_that_hangs_is_ended_with_its_children(fleet, agent_cli, tmp_path):
    """When the time is up the whole process group is gone, also what ignores signals."""
    pids = tmp_path / "pids"
    agent_cli(
        f"import signal, subprocess; signal.signal(signal.SIGTERM, signal.SIG_IGN); child = subprocess.Popen(['sleep', '60']);"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}'); time.sleep(60)",
        timeout_s=1.5,
    )
    begun = time.monotonic()
    row = run_autopsy(fleet, RUN, now=NOW)
    assert "it took longer than 1.5 s" in row.provider_notes[0]
    assert time.monotonic() - begun < 10
    assert [pid for pid in pids.read_text().split() if _is_alive(int(pid))] == []


def test_a_child_left_behind_holds_nothing_up(fleet, agent_cli, opinion):
    """A CLI that leaves a process holding its output is answered for all the same, and the process is ended."""
    agent_cli(f"import subprocess; subprocess.Popen(['sleep', '60']); print(json.dumps({opinion()!r}), flush=True)")
    begun = time.monotonic()
    assert run_autopsy(fleet, RUN, now=NOW).authors.narrative != "internal"
    assert time.monotonic() - begun < 10


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found in /proc")
@pytest.mark.parametrize("ending", ["print(json.dumps({}))", "time.sleep(60)"], ids=["answers", "hangs"])
def test_no_child_gets_away(fleet, agent_cli, tmp_path, ending):
    """A child in a session of its own, and its children without our environment, are ended as well."""
    pids = tmp_path / "pids"
    child = "import subprocess, os, time; p = subprocess.Popen(['sleep', '60'], env={}); "
    child += f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{p.pid}} '); time.sleep(60)"
    agent_cli(
        f"import subprocess; subprocess.Popen([sys.executable, '-c', {child!r}], start_new_session=True, stdout=subprocess.DEVNULL)\n"
        f"while not os.path.exists({str(pids)!r}) or not open({str(pids)!r}).read().endswith(' '): time.sleep(0.02)\n{ending}",
        timeout_s=3,
    )
    run_autopsy(fleet, RUN, now=NOW)
    assert [pid for pid in pids.read_text().split() if _is_alive(int(pid))] == []


def test_a_flood_is_stopped(fleet, agent_cli):
    """A CLI that never stops writing is ended long before its time, and memory stays bounded."""
    agent_cli("while True: sys.stdout.write('x' * 65536)")
    begun = time.monotonic()
    assert "wrote more than 2 MB" in run_autopsy(fleet, RUN, now=NOW).provider_notes[0]
    assert time.monotonic() - begun < 10


def test_a_program_that_reads_nothing(fleet, agent_cli, opinion, tmp_path, monkeypatch):
    """A CLI need not read its input."""
    import sys

    script = tmp_path / "deaf.py"
    script.write_text(f"import json; print(json.dumps({opinion()!r}))")
    agent_cli("pass")
    monkeypatch.setenv("CODING_AGENT_CMD", f"{sys.executable} {script}")
    assert run_autopsy(fleet, RUN, now=NOW).authors.narrative != "internal"


def test_a_liar_is_not_believed(fleet, agent_cli, opinion):
    """An answer without a quote that holds changes nothing."""
    agent_cli(f"print(json.dumps({opinion(evidence=[{'ref': 'event:1', 'quote': 'cosmic rays'}])!r}))")
    plain = run_autopsy(fleet, RUN, now=NOW, provider="internal")
    row = run_autopsy(fleet, RUN, now=NOW)
    assert replace(row, provider_notes=()) == plain
    assert "none of its evidence checks out" in row.provider_notes[-1]


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
