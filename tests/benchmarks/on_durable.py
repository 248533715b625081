"""Durable runs: what the journal costs, how fast two workers empty a queue, how soon a decision is followed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.measure import Row, in_own_process, seconds
from tests.support.postgres import join, programs

if TYPE_CHECKING:
    from tests.benchmarks.sizes import Sizes

_databases = count(1)


def stages(sizes: Sizes) -> Iterator[Row]:
    """Compare ten stages of 50 ms of work each with the same calls without stages, all in turn, middle of several."""
    with folder() as place:
        told = in_own_process("stages_beside_papermill", place, str(sizes.stages)).told
    papermill = told["papermill"]
    yield Row(
        "durable run of 10 stages, kernel from nothing",
        seconds(told["durable"]),
        seconds(papermill),
        f"{told['durable'] / papermill - 1:+.0%}",
        "<= +10 %",
        "papermill.execute_notebook, python3 kernel, the same 10 x 50 ms of work without stages",
    )
    for what, kind in (("prewarmed kernel", "_warm"), ("kernel from nothing", "")):
        durable, lean = told[f"durable{kind}"], told[f"lean{kind}"]
        added = durable - lean
        note = f"of its papermill time; the same {what}: {seconds(durable)} with, {seconds(lean)} without"
        goal = "<= 10 %" if kind else ""
        yield Row(f"what 10 stages and the journal add, {what}", seconds(added), seconds(papermill), f"{added / papermill:.0%}", goal, note)


def queue(sizes: Sizes) -> Iterator[Row]:
    """Let two workers empty a queue, on both databases, and count what the runs did."""
    for name, url in both():
        with folder() as place:
            told = in_own_process("queue_of_runs", place, str(sizes.queued), url).told
        if told["lost"] or told["doubled"] or told["left"] or set(told["statuses"]) != {"finished"}:
            raise RuntimeError(f"{name}: {told}")
        yield Row(
            f"{told['done']:,} queued runs, two workers, {name}",
            f"{told['done'] / told['seconds']:.1f} runs/s",
            "",
            f"{told['lost']} lost, {told['doubled']} doubled",
            "none lost",
            f"{seconds(told['seconds'])} from the start of the workers; queued in {seconds(told['queued'])}",
        )


def decisions(sizes: Sizes) -> Iterator[Row]:
    """Measure from a decision to the beginning of the cell after the gate, with a worker that is alive, on both databases."""
    for name, url in both():
        with folder() as place:
            told = in_own_process("decisions", place, str(sizes.decisions), url).told
        yield Row(
            f"decision to continued run, p95, {name}",
            seconds(told["p95"]),
            "",
            "",
            "<= 2 s",
            f"p50 {seconds(told['median'])}, worst {seconds(told['worst'])} of {told['count']}",
        )


def both() -> Iterator[tuple[str, str]]:
    """Name the databases with their URLs; Postgres only where it is installed."""
    yield "SQLite", ""
    binaries = programs()
    if binaries is None:
        return
    import psycopg

    with folder() as shared:
        port, lock = join(Path(shared), binaries)
        name = f"bench{os.getpid()}_{next(_databases)}"
        with psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        try:
            yield "Postgres", f"postgresql://postgres@127.0.0.1:{port}/{name}"
        finally:
            lock.close()


@contextmanager
def folder() -> Iterator[str]:
    """Return a folder that is gone afterwards."""
    made = tempfile.mkdtemp(prefix="smithers-nb-bench-")
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)  # a worker or a server may still be leaving
