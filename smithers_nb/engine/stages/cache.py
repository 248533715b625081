"""The stored output of a stage from an earlier execution, and whether it can still be used.

A stored output with a schema other than the current one is refused, never silently recomputed: a person has to say which one is meant. The
refusal is a failed attempt of the stage, so that the run says why it failed; the output stays.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import sqlalchemy as sa

from smithers_nb.engine.journal.records import append_event, fail_attempt, set_node, start_attempt
from smithers_nb.engine.journal.schema import nodes, outputs, runs
from smithers_nb.errors import ControlRefused
from smithers_nb.model.failure_reason import FailureReason

if TYPE_CHECKING:
    from smithers_nb.engine.journal.records import Attempt, Node
    from smithers_nb.engine.stages.codec import Shape


class Stored(NamedTuple):
    """The output stored by an earlier execution.

    Attributes:
        schema_name: Name of its schema.
        digest: Digest of its schema; None when it is not known.
        state: Current state of its node.
        made_at: When it was made, epoch milliseconds; None when it is not known.
    """

    row: dict[str, Any]
    schema_name: str
    digest: str | None
    state: str | None
    made_at: int | None


def stored_output(connection: sa.Connection, node: Node, tries: list[Attempt]) -> Stored | None:
    """Return the stored output; None when the stage has never finished, or was reset. `tries` are its attempts, oldest first."""
    made = next((one for one in reversed(tries) if one.state == "finished"), None)
    if not tries:
        return None
    query = (
        sa.select(outputs.c.row_json, outputs.c.schema_name, nodes.c.state)
        .join_from(outputs, nodes, sa.and_(*(nodes.c[name] == outputs.c[name] for name in node._fields)), isouter=True)
        .where(*node.key(outputs))
    )
    found = connection.execute(query).first()
    if found is None:
        return None
    digest, at = (made.meta.get("schemaDigest"), made.finished_at_ms) if made else (None, None)
    return Stored(orjson.loads(found.row_json), found.schema_name, digest, found.state, at)


def use(connection: sa.Connection, node: Node, kept: Stored, shape: Shape) -> Any | ControlRefused:
    """Return the stored output as a value, or the refusal that the caller must raise after this transaction."""
    refusal = None
    if kept.digest not in (None, shape.digest) and _is_hot(connection, node.run_id):
        refusal = _refusal(node, kept, shape, "SCHEMA_CHANGE_HOT", "the schema of a finished stage was changed while the run is hot")
        append_event(connection, node.run_id, "WorkflowReloadUnsafe", {"reason": str(refusal), "nodeId": node.node_id})
    else:
        try:
            value = shape.unpack(kept.row)
        except ValueError as error:
            refusal = _refusal(node, kept, shape, "INVALID_OUTPUT", str(error))
    if refusal is None:
        if kept.state != "finished":  # it was refused before, and the schema has been restored
            set_node(connection, node, "finished")
        return value
    reason = FailureReason(code=refusal.code, message=str(refusal), source=f"node:{node.node_id}", details={"name": "ControlRefused"})
    fail_attempt(connection, node, start_attempt(connection, node, kind="stage"), reason)
    return refusal


def _refusal(node: Node, kept: Stored, shape: Shape, code: str, why: str) -> ControlRefused:
    reset = f"smithers-nb retry-task {shlex.quote(node.run_id)} {shlex.quote(node.node_id)}"
    reset += f" --iteration {node.iteration}" if node.iteration else ""
    return ControlRefused(
        f"the stored output of stage {node.node_id!r} ({kept.schema_name}) does not fit its schema now ({shape.name}): {why}",
        code=code,
        hint=f"undo the change, or compute the output again: {reset}",
    )


def _is_hot(connection: sa.Connection, run_id: str) -> bool:
    text = connection.execute(sa.select(runs.c.config_json).where(runs.c.run_id == run_id)).scalar()
    return orjson.loads(text or "{}").get("hot") is True
