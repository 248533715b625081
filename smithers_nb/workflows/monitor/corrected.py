"""A fresh run with the input that a failed run should have had; inputs are immutable, so the run itself cannot be put right.

What is corrected comes from the last good run of the same workflow and nowhere else; a person always sees both and decides. The new
id is made of the old one and the input, so the same correction is never started twice.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import orjson

from smithers_nb.diagnosis.advice.suggest import input_of
from smithers_nb.redact import redact_value
from smithers_nb.workflows.monitor.results import Repair

if TYPE_CHECKING:
    from smithers_nb.diagnosis.state.conditions import Case
    from smithers_nb.model.explanation import Explanation

_OF_INPUTS: Final = frozenset({"workflow-bug", "unknown"})
"""Classes of failures that an input can be behind; a server that is down, or a model's bad day, another input only hides."""


def corrected(case: Case, why: Explanation) -> Repair | None:
    """Return the fresh run that a person may agree to; None where the input is not at fault or something keeps it from being repeated.

    A run that another one launched or that is a correction itself has none. An input with a secret in it is never written anywhere, and
    what the run began outside of itself would be done a second time.
    """
    given, good = input_of(case.snapshot) or {}, why.good_input or {}
    if why.failure_class not in _OF_INPUTS or case.run.status != "failed" or case.run.parent_run_id:
        return None
    if not good or not good.keys() <= given.keys():
        return None
    whole = {**given, **good}
    line = case.engine.fresh_run(case.run.workflow_path, whole)
    if redact_value(whole) != whole or redact_value(given) != given:
        return None
    if any(call.side_effect and not call.idempotent for call in case.snapshot.tool_calls):
        return None
    new_run_id = f"{case.run.run_id}-again-{_digest(whole)}"
    if case.snapshot.source.run_ids(new_run_id, 1):
        return None
    fields = ", ".join(good)
    return Repair(
        kind="fresh-run",
        reason=f"the input is behind the failure; a fresh run gets {fields} as the last good run had it, and this run stays as it is",
        command=line,
        new_run_id=new_run_id,
        input=whole,
        before={name: given[name] for name in good},
        after=dict(good),
        basis=f"the last good run, {why.good_run}",
    )


def _digest(value: dict[str, Any]) -> str:
    return hashlib.blake2b(orjson.dumps(value, option=orjson.OPT_SORT_KEYS), digest_size=4).hexdigest()
