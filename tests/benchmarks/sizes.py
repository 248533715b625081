"""How big the benchmarks are, and where their stores are kept."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Sizes(NamedTuple):
    """Sizes of stores and numbers of repeats.

    Attributes:
        runs: Runs of the big store.
        events: Events of the big store.
        calls: Calls of the real CLI that are measured before extrapolating.
        repeats: Pairs of whole processes.
        autopsies: Autopsies of the batch.
        plain: How many of those are done with plain papermill before extrapolating.
        stages: Repeats of a notebook with stages beside one without.
        queued: Runs in the queue.
        decisions: Gates that are decided.
        notebooks: Executed notebooks in a folder.
        beads: Work items of the export, with ten events each.
        transitions: Changes of status that are measured.
        sessions: Session logs in a folder, a megabyte each.
        tickets: Tickets that are built by workers that take no time.
        run_mb: Megabytes of a run's directory that is bundled.
        cache: Folder for generated stores; the next run finds them there.
    """

    runs: int = 2_000
    events: int = 1_000_000
    calls: int = 10
    repeats: int = 7
    autopsies: int = 50
    plain: int = 20
    stages: int = 9
    queued: int = 1_000
    decisions: int = 40
    notebooks: int = 1_000
    beads: int = 100_000
    transitions: int = 2_000
    sessions: int = 1_000
    tickets: int = 200
    run_mb: int = 200
    cache: Path = Path(__file__).parents[2] / "artifacts" / "benchmarks"


FULL = Sizes()
QUICK = Sizes(
    runs=56,
    events=2_800,
    calls=2,
    repeats=1,
    autopsies=4,
    plain=2,
    stages=1,
    queued=60,
    decisions=5,
    notebooks=40,
    beads=500,
    transitions=50,
    sessions=6,
    tickets=8,
    run_mb=2,
)
