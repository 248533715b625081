"""The order in which nodes of a run began and finished, from its log.

Sequence numbers also order events of the same millisecond, and are unaffected by a clock that was set back.
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
        number: Starting at 1; 0 is the state before anything was finished.
        node: The node that was finished.
        seq: Sequence number of its end in the log.
    """

    number: int
    node: Node
    seq: int


def begun_last(connection: sa.Connection, run_id: str) -> dict[Node, int]:
    """Return the sequence number at which each node last began; for gates and questions, of their last event."""
    return _latest(connection, run_id, (*_BEGINNINGS, *_PEOPLE))


def frames(connection: sa.Connection, run_id: str) -> list[Frame]:
    """Return the frames of the nodes that are finished now, in the order in which they finished."""
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
