"""An autopsy that nobody asked for, done once by the process that kernels are made of (`engine.kernels.zygote`).

It imports what the stages import on the way, reads rules and templates, and draws one figure, so that no kernel has to do it again.
It works on a private copy of the example store, which is closed and gone afterwards.
"""

from __future__ import annotations

import gzip
import importlib
from typing import Final

from smithers_nb.private_folder import PrivateFolder
from smithers_nb.resources import EXAMPLE_RUN, resource
from smithers_nb.sources.stores.sqlite_file import own
from smithers_nb.workflows.autopsy.stages import bug_gate, gather, investigate, verdict

_NOW: Final = 1_790_000_000_000
_OF_DURABLE_RUNS: Final = (
    "sqlalchemy.dialects.sqlite.pysqlite",
    "smithers_nb.engine.stages",
    "smithers_nb.engine.journal.leases",
    "smithers_nb.engine.journal.decisions",
    "smithers_nb.engine.journal.executions",
    "smithers_nb.engine.journal.records",
    "smithers_nb.engine.journal.status",
    "smithers_nb.engine.journal.store",
    "smithers_nb.engine.stages.cache",
    "smithers_nb.workflows.autopsy.durable",
    "smithers_nb.workflows.notebook.api",
)
"""Imported without being used: a rehearsal writes into nobody's journal."""


def draw_a_figure() -> None:
    """Load pandas, make one plotly figure, and load what shows it: most notebooks do that, and it costs a kernel most.

    It is not shown: plotly settles how to show figures when that is first asked, and only in a kernel is the answer right.
    """
    import plotly.graph_objects as go
    from plotly.io._json import to_json_plotly

    for name in ("pandas", "pyarrow", "nbformat.validator", "plotly.io._base_renderers", "plotly.io._html"):
        importlib.import_module(name)
    to_json_plotly(go.Figure(go.Bar(x=[1, 2], y=[2, 1]), layout={"title": {"text": "rehearsal"}}).to_dict())


def rehearse() -> None:
    """Do once what the cells of `notebooks/autopsy.ipynb` do, and what IPython does to show their results."""
    from IPython.core.formatters import DisplayFormatter

    for name in _OF_DURABLE_RUNS:
        importlib.import_module(name)
    with PrivateFolder() as folder:
        store = folder / "smithers.db"
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
