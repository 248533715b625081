"""Triggers for rules that a CHECK cannot express: a failed node has a failed attempt or a denied gate, and the log is never changed.

The statements are part of the first migration; they are kept here as text because Alembic has no API for triggers.
"""

from __future__ import annotations

from typing import Final

_REASONLESS: Final = (
    "NEW.state = 'failed' "
    "AND NOT EXISTS (SELECT 1 FROM _smithers_attempts a WHERE a.run_id = NEW.run_id AND a.node_id = NEW.node_id "
    "AND a.iteration = NEW.iteration AND a.state = 'failed') "
    "AND NOT EXISTS (SELECT 1 FROM _smithers_approvals g WHERE g.run_id = NEW.run_id AND g.node_id = NEW.node_id "
    "AND g.iteration = NEW.iteration AND g.status = 'denied')"
)
_SAID: Final = "a failed node needs a failed attempt or a denied gate"
_KEPT: Final = "events are never changed or removed"

SQLITE: Final = (
    *(
        f"CREATE TRIGGER failed_node_{event.split()[0].lower()} BEFORE {event} ON _smithers_nodes WHEN {_REASONLESS} "
        f"BEGIN SELECT RAISE(ABORT, '{_SAID}'); END"
        for event in ("INSERT", "UPDATE OF state")
    ),
    *(
        f"CREATE TRIGGER event_{event.lower()} BEFORE {event} ON _smithers_events BEGIN SELECT RAISE(ABORT, '{_KEPT}'); END"
        for event in ("UPDATE", "DELETE")
    ),
)

POSTGRES: Final = (
    f"CREATE FUNCTION refuse_reasonless_failure() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF {_REASONLESS} THEN "
    f"RAISE EXCEPTION '{_SAID}' USING ERRCODE = 'check_violation'; END IF; RETURN NEW; END $$",
    "CREATE TRIGGER failed_node BEFORE INSERT OR UPDATE OF state ON _smithers_nodes "
    "FOR EACH ROW EXECUTE FUNCTION refuse_reasonless_failure()",
    f"CREATE FUNCTION refuse_change_of_log() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    f"RAISE EXCEPTION '{_KEPT}' USING ERRCODE = 'restrict_violation'; END $$",
    "CREATE TRIGGER event_change BEFORE UPDATE OR DELETE ON _smithers_events FOR EACH ROW EXECUTE FUNCTION refuse_change_of_log()",
)


def _json_text(value: str, *keys: str, sqlite: bool) -> str:
    if sqlite:
        return f"json_extract({value}, '$.{'.'.join(keys)}')"
    *way, last = keys
    return f"({value}::json{''.join(f' -> {key!r}' for key in way)} ->> {last!r})"


def _reason_is_whole(*, sqlite: bool) -> str:
    fields = (_json_text("NEW.metadata_json", "failure_reason", key, sqlite=sqlite) for key in ("code", "message", "source"))
    given = " AND ".join(f"coalesce(length({field}), 0) > 0" for field in fields)
    if sqlite:
        kind = "coalesce(json_type(NEW.metadata_json, '$.failure_reason.details'), '') = 'object'"
    else:
        kind = "coalesce(json_typeof(NEW.metadata_json::json -> 'failure_reason' -> 'details'), '') = 'object'"
    return f"{given} AND {kind}"


_ITEMS: Final = "_smithers_nb_beads"
_ITEM_LOG: Final = "_smithers_nb_bead_events"
_NO_EVENT: Final = (
    f"NEW.status <> OLD.status AND NOT (NEW.status_seq > OLD.status_seq AND EXISTS (SELECT 1 FROM {_ITEM_LOG} e "
    "WHERE e.seq = NEW.status_seq AND e.bead_id = NEW.bead_id AND e.old_value = OLD.status AND e.new_value = NEW.status))"
)
_OVER: Final = (
    "OLD.status = 'closed' AND NEW.status <> 'closed' AND OLD.origin IS NULL "
    "OR OLD.status = 'failed' AND NEW.status <> 'failed' AND NEW.status <> 'open'"
)
_HELD: Final = "('in_progress', 'in_review', 'hooked')"
_NOT_NEW: Final = (
    f"NEW.status <> 'open' AND NEW.origin IS NULL AND NOT EXISTS (SELECT 1 FROM {_ITEM_LOG} e "
    "WHERE e.seq = NEW.status_seq AND e.bead_id = NEW.bead_id AND e.new_value = NEW.status)"
)
_RULES: Final = (
    ("bead_status", f"UPDATE OF status ON {_ITEMS}", _NO_EVENT, "a status changes only with its event"),
    ("bead_terminal", f"UPDATE OF status ON {_ITEMS}", _OVER, "what is closed stays closed, and what failed is only reopened"),
    ("bead_new", f"INSERT ON {_ITEMS}", _NOT_NEW, "a new bead is open"),
    ("bead_kept", f"DELETE ON {_ITEMS}", "", "beads are never removed"),
    ("bead_event_changed", f"UPDATE ON {_ITEM_LOG}", "", "the log of beads is never changed"),
    ("bead_event_removed", f"DELETE ON {_ITEM_LOG}", "", "the log of beads is never changed"),
)


def _ledger(*, sqlite: bool) -> tuple[tuple[str, str, str, str], ...]:
    failing = f"NEW.new_value = 'failed' AND NEW.event_type = 'status_changed' AND NOT ({_reason_is_whole(sqlite=sqlite)})"
    given_back = (
        f"NEW.event_type = 'status_changed' AND NEW.new_value = 'open' AND NEW.old_value IN {_HELD} AND NEW.origin IS NULL "
        "AND coalesce(length(NEW.reason), 0) = 0"
    )
    return (
        *_RULES,
        ("bead_failure", f"INSERT ON {_ITEM_LOG}", failing, "a failed bead needs code, message, source and details"),
        ("bead_given_back", f"INSERT ON {_ITEM_LOG}", given_back, "giving work back needs a reason"),
    )


LEDGER_SQLITE: Final = tuple(
    f"CREATE TRIGGER {name} BEFORE {event}{f' WHEN {when}' if when else ''} BEGIN SELECT RAISE(ABORT, '{said}'); END"
    for name, event, when, said in _ledger(sqlite=True)
)
LEDGER_POSTGRES: Final = tuple(
    statement
    for name, event, when, said in _ledger(sqlite=False)
    for statement in (
        f"CREATE FUNCTION refuse_{name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF {when or 'true'} THEN "
        f"RAISE EXCEPTION '{said}' USING ERRCODE = 'check_violation'; END IF; RETURN NEW; END $$",
        f"CREATE TRIGGER {name} BEFORE {event} FOR EACH ROW EXECUTE FUNCTION refuse_{name}()",
    )
)
