"""Providers as a user meets them: through the notebook and the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from smithers_nb.workflows.autopsy.notebook import run_autopsy_notebook

NOW = 1795181301665
RUN = "order-sync-013"
KEY = "test-key-of-no-known-kind-0815"


def cli(*words, env=None, cwd=None):
    program = str(Path(sys.executable).with_name("smithers-nb"))
    return subprocess.run([program, *words], capture_output=True, text=True, env={**os.environ, **(env or {})}, cwd=cwd, check=False)


@pytest.mark.slow
def test_the_notebook_asks_the_model(fleet, model, opinion, tmp_path):
    """Chosen by the environment, a model is asked from the kernel; notebook and report are signed, and the key is in neither."""
    server = model(opinion(commands=["rm -rf /"]))
    record = run_autopsy_notebook(RUN, fleet, now=NOW, artifacts=tmp_path)
    assert record.verdict.authors.narrative == "remote_llm (scripted-1)"
    assert server.requests
    for file in (record.notebook, record.report):
        text = file.read_text()
        assert "remote_llm (scripted-1)" in text
        assert "dropped the command" in text
        assert KEY not in text


@pytest.mark.slow
def test_the_command_line_asks_an_agent(fleet, agent_cli, opinion, tmp_path):
    """`smithers-nb autopsy` prints the agent's words, who wrote them, and the same as JSON."""
    agent_cli(f"print(json.dumps({opinion()!r}))")
    done = cli("autopsy", RUN, "--no-notebook", "--source", str(fleet), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "The order source handed over nothing" in done.stdout
    assert "narrative, advice by codex_exec (python" in " ".join(done.stdout.split())
    row = json.loads(cli("autopsy", RUN, "--no-notebook", "--source", str(fleet), "--format", "json", cwd=tmp_path).stdout)
    assert row["authors"]["narrative"].startswith("codex_exec")


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"AGENT_PROVIDER": "oracle"}, "AGENT_PROVIDER: 'oracle' is not a provider; choose one of internal, remote_llm, codex_exec"),
        ({"AGENT_PROVIDER": "remote_llm"}, "OPENAI_API_KEY is required"),
        ({"AGENT_PROVIDER": "remote_llm", "OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "nowhere"}, "invalid OPENAI_BASE_URL: 'nowhere'"),
    ],
)
def test_wrong_settings_start_nothing(fleet, env, said, tmp_path):
    """One line, a hint and exit code 4, and no folder is made."""
    done = cli("autopsy", RUN, "--source", str(fleet), env=env, cwd=tmp_path)
    assert done.returncode == 4
    assert said in done.stderr
    assert "hint: " in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_long_error_has_plain_words_beside_it(changed):
    """The cards of a long error show plain words and the whole text; those of a simple one show the text alone."""
    from smithers_nb.workflows.autopsy.stages import bug_gate, gather, investigate, verdict

    found = investigate(gather(RUN, changed("SELECT 1"), None, NOW))
    assert found.error_summary == ""
    assert "In plain words" not in found.card().text + verdict(found, bug_gate(found)).card().text
    log = "\\n".join(f"line {number} failed to parse" for number in range(60))
    store = changed("UPDATE _smithers_attempts SET error_json = replace(error_json, 'null is not', ?)", f"{log}\\nnull is not")
    found = investigate(gather(RUN, store, None, NOW))
    row = verdict(found, bug_gate(found))
    assert "The error text has 61 lines" in row.error_summary
    assert "60 of its lines say the same as “line 0 failed to parse”" in row.error_summary
    for html in (found.card().html, row.card().html):
        assert "The error text has 61 lines" in html
    assert "line 37 failed to parse" in found.card().html, "the raw text is still there"
    assert "In plain words" in row.card().html
