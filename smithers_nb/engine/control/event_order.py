"""In which order things happened in a run, by its log: what began after what, and what was finished when.

Positions in the log order events of the same millisecond too, and do not mind a clock that was set back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import orjson
import sqlalchemy as sa

from smithers_nb.engine.journal.records import Node
from smithers_nb.engine.journal.schema import events, nodes

if TYPE_CHECKING:
    from collections.abc import Iterable

_BEGINNINGS: Final = ("NodeStarted",)
_PEOPLE: Final = ("ApprovalRequested", "ApprovalGranted", "ApprovalDenied", "HumanRequested", "HumanAnswered")
_ENDINGS: Final = ("NodeFinished", "ApprovalGranted", "ApprovalDenied", "HumanAnswered")


class Frame(NamedTuple):
    """The state of a run right after a node was finished.

    Attributes:
        number: Counted from 1; 0 is the state before anything was finished.
        node: What was finished.
        seq: Position of its end in the log.
    """

    number: int
    node: Node
    seq: int


def begun_last(connection: sa.Connection, run_id: str) -> dict[Node, int]:
    """Give, for each node, the position at which its newest attempt began; for gates and questions, of the last thing that happened."""
    return _latest(connection, run_id, (*_BEGINNINGS, *_PEOPLE))


def frames(connection: sa.Connection, run_id: str) -> list[Frame]:
    """List the nodes that are finished now, in the order in which they became so."""
    query = sa.select(nodes.c.node_id, nodes.c.iteration).where(nodes.c.run_id == run_id, nodes.c.state == "finished")
    finished = {Node(run_id, *row) for row in connection.execute(query)}
    ended = sorted((seq, node) for node, seq in _latest(connection, run_id, _ENDINGS).items() if node in finished)
    return [Frame(number, node, seq) for number, (seq, node) in enumerate(ended, 1)]


def _latest(connection: sa.Connection, run_id: str, types: Iterable[str]) -> dict[Node, int]:
    query = sa.select(events.c.seq, events.c.payload_json).where(events.c.run_id == run_id, events.c.type.in_(list(types)))
    found = {}
    for seq, text in connection.execute(query.order_by(events.c.seq)):
        payload = orjson.loads(text)
        found[Node(run_id, payload["nodeId"], payload.get("iteration", 0))] = seq
    return found
