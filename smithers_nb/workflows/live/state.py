"""The state of a run of the journal at one moment: status, nodes in the order they started, and pending requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import sqlalchemy as sa

from smithers_nb.engine.control.decisions import pending
from smithers_nb.engine.control.run_state import run_row
from smithers_nb.engine.journal import Journal
from smithers_nb.engine.journal.schema import attempts, nodes

if TYPE_CHECKING:
    from smithers_nb.engine.control.decisions import Pending
    from smithers_nb.engine.location import Location


class State(NamedTuple):
    """The state of a run at one moment.

    Attributes:
        nodes: Node, iteration, state, attempt and error message of each node, in the order they started.
        asks: Requests that wait for a person.
    """

    run_id: str
    status: str
    nodes: list[dict[str, Any]]
    asks: list[Pending]


def state_of(location: Location, run_id: str) -> State:
    """Read the state of a run.

    Raises:
        JournalUnusable: The journal cannot be read.
    """
    with Journal.open(location) as journal, journal.reading() as connection:
        status = str(run_row(connection, run_id).status)
        listed = [_node(*row) for row in connection.execute(_nodes_query(run_id))]
    return State(run_id, status, listed, pending(location, run_id))


def _nodes_query(run_id: str) -> sa.Select[Any]:
    last_attempt = sa.and_(
        attempts.c.run_id == nodes.c.run_id,
        attempts.c.node_id == nodes.c.node_id,
        attempts.c.iteration == nodes.c.iteration,
        attempts.c.attempt == nodes.c.last_attempt,
    )
    columns = (nodes.c.node_id, nodes.c.iteration, nodes.c.state, nodes.c.last_attempt, attempts.c.error_json)
    start = sa.func.coalesce(attempts.c.started_at_ms, nodes.c.updated_at_ms)
    return sa.select(*columns).outerjoin(attempts, last_attempt).where(nodes.c.run_id == run_id).order_by(start, nodes.c.node_id)


def _node(node_id: str, iteration: int, state: str, attempt: int | None, error: str | None) -> dict[str, Any]:
    message = orjson.loads(error).get("message") if error else None
    return {"nodeId": node_id, "iteration": iteration, "state": state, "attempt": attempt, "error": message}
