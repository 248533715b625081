"""Parameters of the autopsy are checked before anything is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from smithers_nb.engine.notebook.executor import validated
from smithers_nb.errors import ParameterError
from smithers_nb.workflows.autopsy.parameters import AutopsyParameters


def test_a_number_is_an_id():
    """Papermill's `-p target_run_id 49315` is a number and means the run 49315."""
    assert validated(AutopsyParameters, {"target_run_id": 49315}).target_run_id == "49315"


@pytest.mark.parametrize("now", [1795181301665, "1795181301665", "2026-11-20T13:28:21.665Z", "2026-11-20T13:28:21.665"])
def test_moments_may_be_written_in_several_ways(now):
    """Epoch milliseconds and ISO times mean the same moment; without a zone it is UTC."""
    assert validated(AutopsyParameters, {"target_run_id": "r", "now": now}).moment == 1795181301665


def test_without_a_moment_the_clock_counts():
    """Without `now`, now is now."""
    assert validated(AutopsyParameters, {"target_run_id": "r"}).moment > 1_700_000_000_000


def test_paths_are_texts():
    """A path is as good as its text."""
    assert validated(AutopsyParameters, {"target_run_id": "r", "source": Path("/a/b")}).source == "/a/b"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"target_run_id": " "}, "target_run_id: name the run to look at"),
        ({"target_run_id": None}, "target_run_id: "),
        ({"target_run_id": True}, "target_run_id: "),
        ({"target_run_id": "r", "now": "yesterday"}, "now: 'yesterday' is neither epoch milliseconds nor an ISO time"),
        ({"target_run_id": "r", "runId": "x"}, "unknown parameter 'runId'"),
        ({}, "target_run_id: field required"),
    ],
)
def test_wrong_ones_are_named_in_one_line(values, words):
    """One line says which parameter is wrong and why; the hint lists what there is."""
    with pytest.raises(ParameterError, match=words) as caught:
        validated(AutopsyParameters, values)
    assert "\n" not in str(caught.value)
    assert "target_run_id, source, workflow_path, provider, now" in caught.value.hint


@pytest.mark.parametrize(
    ("env", "provider", "chosen"),
    [
        ({}, None, "internal"),
        ({"AGENT_PROVIDER": "remote_llm", "OPENAI_API_KEY": "k"}, None, "remote_llm"),
        ({"AGENT_PROVIDER": "remote_llm"}, "internal", "internal"),
    ],
)
def test_the_environment_chooses_who_investigates(monkeypatch, env, provider, chosen):
    """Without a provider `AGENT_PROVIDER` decides, else the rules; one that is named wins."""
    monkeypatch.delenv("AGENT_PROVIDER", raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert validated(AutopsyParameters, {"target_run_id": "r", "provider": provider}).provider == chosen


def test_a_provider_that_cannot_work_is_refused(monkeypatch):
    """An unknown provider and one without its key are refused with what helps, before anything is started."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ParameterError, match="'oracle' is not a provider; choose one of internal, remote_llm, codex_exec"):
        validated(AutopsyParameters, {"target_run_id": "r", "provider": "oracle"})
    with pytest.raises(ParameterError, match="OPENAI_API_KEY is required") as caught:
        validated(AutopsyParameters, {"target_run_id": "r", "provider": "remote_llm"})
    assert "codex_exec or internal" in caught.value.hint
