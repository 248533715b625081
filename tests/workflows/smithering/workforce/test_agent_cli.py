"""An agent CLI as the workforce: what it may spend, and what of its output counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from smithers_nb.errors import BudgetSpent
from smithers_nb.workflows.smithering.parameters import SmitheringParameters, workforce_of
from smithers_nb.workflows.smithering.workforce.base import WorkRequest


def test_the_budget_is_that_of_the_run(tmp_path: Path) -> None:
    """Two executions of one run share its calls, the next call is refused before the agent starts, and another run has its own."""
    agent = tmp_path / "agent"
    agent.write_text(f'#!/bin/sh\ncat > /dev/null\necho x >> {tmp_path}/started\necho \'{{"summary": "fine"}}\'\n')
    agent.chmod(0o755)
    given = SmitheringParameters(provider="codex_exec", max_agent_calls=2)
    request = WorkRequest(stage="intake", instructions="look")

    def ask(run: str) -> object:
        return workforce_of(given, tmp_path / run, {"CODING_AGENT_CMD": str(agent), "PATH": "/usr/bin:/bin"}).answer(request)

    assert [ask("r1"), ask("r1")] == [{"summary": "fine"}] * 2
    with pytest.raises(BudgetSpent, match="budget of 2 agent calls is used up") as refused:
        ask("r1")
    assert str(tmp_path / "r1" / "agent-calls-allowed") in refused.value.hint
    assert ask("r2") == {"summary": "fine"}
    assert len((tmp_path / "started").read_text().split()) == 3


def test_whatever_an_agent_prints_on_its_way_its_answer_counts(tmp_path: Path) -> None:
    """Ten megabytes of events, thousands of them objects, are no failure: the last object is the answer."""
    agent = tmp_path / "agent"
    agent.write_text(
        "#!/bin/sh\ncat > /dev/null\nhead -c 10000000 /dev/zero | tr '\\0' x\n"
        'i=0; while [ $i -lt 3000 ]; do echo "{\\"event\\": $i}"; i=$((i+1)); done\necho \'{"summary": "fine"}\'\n'
    )
    agent.chmod(0o755)
    given = SmitheringParameters(provider="codex_exec")
    workforce = workforce_of(given, tmp_path / "r1", {"CODING_AGENT_CMD": str(agent), "PATH": "/usr/bin:/bin"})
    assert workforce.answer(WorkRequest(stage="intake", instructions="look")) == {"summary": "fine"}
