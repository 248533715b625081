"""An autopsy that nobody asked for, done once by the process that kernels are made of (`engine.zygote`).

It imports what the stages import on the way, reads rules and templates, and draws one figure, so that no kernel has to do it again.
It works on a private copy of the example store, which is closed and gone afterwards.
"""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path
from typing import Final

from smithers_nb.resources import EXAMPLE_RUN, resource
from smithers_nb.sources.sqlite import own
from smithers_nb.workflows.autopsy import bug_gate, gather, investigate, verdict

_NOW: Final = 1_790_000_000_000


def rehearse() -> None:
    """Do once what the cells of `notebooks/autopsy.ipynb` do, and what IPython does to show their results."""
    from IPython.core.formatters import DisplayFormatter

    with tempfile.TemporaryDirectory(prefix="snb-") as folder:
        store = Path(folder) / "smithers.db"
        store.write_bytes(gzip.decompress(resource("templates/example/smithers.db.gz").read_bytes()))
        own(store)  # the other way to read it starts a thread, which a fork would lose
        gathered = gather(EXAMPLE_RUN, store, None, _NOW)
        try:
            found = investigate(gathered, "internal")
            gate = bug_gate(found)
            results = (gathered, found, found.timeline(), found.changes(), found.occurrences(), found.proof(), gate, verdict(found, gate))
            for result in results:
                DisplayFormatter().format(result)
        finally:
            gathered.open().close()
