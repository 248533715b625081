"""Polling pull requests over a git host's HTTP API, until they are merged, closed, or cannot be polled any more.

The token of the rig's environment variable is only sent to the host of its own configuration; redirects are not followed.
"""

from __future__ import annotations

import os
import re
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

import orjson
import sqlalchemy as sa

from smithers_nb.engine.journal.records import as_json
from smithers_nb.engine.journal.work_items import beads, rigs
from smithers_nb.ledger.review import pr_closed
from smithers_nb.ledger.transition import locked, transition
from smithers_nb.model.failure_codes import reason

if TYPE_CHECKING:
    from smithers_nb.ledger.store import Ledger

TIMEOUT_S: Final = 10.0
LIMITS: Final = {"http_error": 10, "no_token": 10, "invalid_response": 3, "unrecognized_url": 3, "host_mismatch": 3}
"""Failures in a row of one kind after which the merge request fails."""

_MAX_BYTES: Final = 1_000_000
_PR: Final = re.compile(r"/([\w.-]+)/([\w.-]+)/(?:pull|pulls)/(\d+)/?")
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class Answer(NamedTuple):
    """What a host said: `open`, `merged`, `closed`, or the kind of failure with its error."""

    state: str
    error: str = ""
    status: int | None = None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def poll_all(ledger: Ledger) -> dict[str, str]:
    """Poll every merge request in review once and act on the answers; bead id to what was found."""
    with ledger.reading() as connection:
        query = sa.select(beads.c.bead_id, beads.c.metadata_json, rigs.c.config_json).outerjoin(rigs, rigs.c.rig_id == beads.c.rig_id)
        rows = connection.execute(query.where(beads.c.type == "merge_request", beads.c.status == "in_review")).all()
    found: dict[str, str] = {}
    for row in rows:
        pr_url = orjson.loads(row.metadata_json).get("pr_url")
        if isinstance(pr_url, str):
            answer = ask(pr_url, orjson.loads(row.config_json or "{}"))
            with ledger.writing() as connection:
                _act(ledger, connection, row.bead_id, pr_url, answer)
            found[row.bead_id] = answer.state
    return found


def ask(pr_url: str, config: dict[str, Any]) -> Answer:
    """Ask a git host how a pull request stands.

    Args:
        pr_url: `https://HOST/OWNER/REPOSITORY/pull/NUMBER`.
        config: Of the rig: `api_url` (such as `https://api.github.com`), `host`, `token_env`.
    """
    parts = urlsplit(pr_url)
    match = _PR.fullmatch(parts.path)
    if parts.scheme != "https" or match is None:
        return Answer("unrecognized_url", f"{pr_url} is not the URL of a pull request")
    if parts.hostname != config.get("host", "github.com"):
        return Answer("host_mismatch", f"{parts.hostname} is not the host of this rig")
    token = os.environ.get(str(config.get("token_env") or ""), "")
    if not token:
        return Answer("no_token", f"the environment has no {config.get('token_env') or 'token for this rig'}")
    api = urlsplit(str(config.get("api_url") or "https://api.github.com"))
    if api.scheme != "https" and api.hostname not in _LOOPBACK:
        return Answer("host_mismatch", "the API of the git host is not https")
    owner, repository, number = match.groups()
    return _get(f"{api.geturl().rstrip('/')}/repos/{owner}/{repository}/pulls/{number}", token)


def _get(url: str, token: str) -> Answer:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}", "Accept": "application/json"})  # noqa: S310  # https, or loopback
    try:
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=TIMEOUT_S) as response:
            body = orjson.loads(response.read(_MAX_BYTES))
    except urllib.error.HTTPError as error:
        return Answer("http_error", f"HTTP {error.code}", error.code)
    except orjson.JSONDecodeError as error:
        return Answer("invalid_response", f"no JSON: {error}")
    except OSError as error:
        return Answer("http_error", str(getattr(error, "reason", error)))
    if not isinstance(body, dict) or body.get("state") not in ("open", "closed"):
        return Answer("invalid_response", "the answer has no state")
    return Answer("open" if body["state"] == "open" else "merged" if body.get("merged") or body.get("merged_at") else "closed")


def _act(ledger: Ledger, connection: sa.Connection, mr_id: str, pr_url: str, answer: Answer) -> None:
    row = locked(connection, mr_id)
    if row.status != "in_review":
        return
    if answer.state in ("merged", "closed"):
        pr_closed(ledger, connection, mr_id, pr_url, merged=answer.state == "merged")
        return
    metadata = orjson.loads(row.metadata_json)
    before = metadata.get("poll_failures") or {}
    count = 0 if answer.state == "open" else 1 + (before.get("count", 0) if before.get("kind") == answer.state else 0)
    metadata["poll_failures"] = {"kind": answer.state, "count": count} if count else {}
    connection.execute(beads.update().where(beads.c.bead_id == mr_id).values(metadata_json=as_json(metadata)))
    if count and count >= LIMITS[answer.state]:
        details: dict[str, Any] = {"pr_url": pr_url, "kind": answer.state, "failures": count, "error": answer.error}
        details |= {"status": answer.status} if answer.status is not None else {}
        transition(ledger, connection, mr_id, "failed", actor="refinery", reason=reason("pr_poll_failed", **details))
