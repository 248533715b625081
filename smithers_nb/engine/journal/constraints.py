"""What a CHECK cannot say: a failed node has a failed attempt or a denied gate behind it, and the log is never changed.

The statements are part of the first migration; they are kept here as text because Alembic has no word for triggers.
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
