"""Nodes of a loop that go on producing the same output, round after round."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Final

import orjson

from smithers_nb.diagnosis.text.conventions import words
from smithers_nb.diagnosis.text.quotes import excerpt
from smithers_nb.model.finding import Finding, described
from smithers_nb.model.verdict import Evidence
from smithers_nb.model.vocabulary import logical_id
from smithers_nb.redact import short_line
from smithers_nb.sources.stores.json_text import parse

if TYPE_CHECKING:
    from smithers_nb.model.rows import OutputRow

_SEVERAL: Final = 3
_NO: Final = frozenset({"reject", "rejected", "fail", "failed", "no", "denied", "changes_requested", "changes-requested", "needs_changes"})


class StagnantNode(Finding):
    """A node in a loop that produced the same output in several iterations in a row."""

    run_id: str
    node_id: str
    first_iteration: int
    last_iteration: int
    iterations: int = described("iterations with the same output")
    output: str = described("that output, as JSON")

    @property
    def rejection(self) -> str:
        """The words with which it said no each time; empty when it said yes, or nothing in words."""
        values = parse(self.output)
        values = values.values() if isinstance(values, dict) else ()
        refuses = any(value is False or (isinstance(value, str) and value.strip().lower() in _NO) for value in values)
        lists = (text for value in values if isinstance(value, list) for text in value)
        texts = [text for text in (*values, *lists) if isinstance(text, str) and " " in text.strip()]
        return "; ".join(texts) if refuses else ""


def in_words(node: StagnantNode) -> str:
    """State that a reviewer repeats itself."""
    return (
        f"{node.node_id} has rejected the work of this loop {node.iterations} times in a row in the same words, so another round will not "
        f"help: {short_line(node.rejection)}"
    )


def said_in_the_loop(node: StagnantNode) -> Evidence:
    """Quote the newest of its answers."""
    return Evidence(ref=f"output:{node.node_id}/{node.last_iteration}", quote=excerpt(node.output))


def stagnant_nodes(outputs: Iterable[OutputRow], *, several: int = _SEVERAL) -> tuple[StagnantNode, ...]:
    """Find nodes in a loop whose output stayed the same over several iterations; counters and times do not count as a change.

    Args:
        outputs: What nodes produced, in one run or in the whole store.
        several: From how many iterations on the same is a pattern.
    """
    rows = sorted((row for row in outputs if row.node_id != "input"), key=_place)
    return tuple(
        node
        for _, produced in groupby(rows, key=lambda row: (row.run_id, logical_id(row.node_id)))
        for node in _stagnant(list(produced), several)
    )


def _place(row: OutputRow) -> tuple[str, str, int, str]:
    return row.run_id, logical_id(row.node_id), row.iteration, row.node_id


def _stagnant(produced: Sequence[OutputRow], several: int) -> Iterator[StagnantNode]:
    for output, same in groupby(produced, key=lambda row: _substance(row.row)):
        rows = list(same)
        if len(rows) >= several and output != "{}":
            yield StagnantNode(
                run_id=rows[0].run_id,
                node_id=logical_id(rows[0].node_id),
                first_iteration=rows[0].iteration,
                last_iteration=rows[-1].iteration,
                iterations=len(rows),
                output=output,
            )


def _substance(row: str | None) -> str:
    """Leave out of an output what changes by itself from one iteration to the next."""
    value = parse(row)
    if not isinstance(value, dict):
        return row or "{}"
    fields, ends = words("bookkeeping", "fields"), words("bookkeeping", "field_ends")
    kept = {key: inner for key, inner in value.items() if key not in fields and not key.endswith(ends)}
    return orjson.dumps(kept, option=orjson.OPT_SORT_KEYS).decode()
