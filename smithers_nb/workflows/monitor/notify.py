"""Notifies a person through apprise (chat, mail, desktop, webhook) with one line about what newly needs them.

Notifications are remembered in our journal by cause, so the same failure is not announced again when another run meets it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from smithers_nb.engine.journal.attention import Mark
from smithers_nb.errors import ParameterError
from smithers_nb.redact import redact, short_line

if TYPE_CHECKING:
    from smithers_nb.workflows.monitor.attention import Need

_MAX_LINE: Final = 500
_MAX_NAMED: Final = 3


def cause_of(need: Need) -> str:
    """Return the key of equal needs: the signature of a failure, or else the gate or question itself."""
    return need.signature or f"{need.kind} {need.run_id} {need.node_id or ''}#{need.iteration}"


def unannounced(needs: Iterable[Need], marks: Iterable[Mark]) -> list[Need]:
    """Return the needs that nobody was notified of yet, one per cause, without those that are put aside."""
    announced = {(mark.store, mark.note) for mark in marks if mark.action == "notified"}
    open_needs = {(need.store, cause_of(need)): need for need in needs if not need.put_aside}
    return [need for key, need in open_needs.items() if key not in announced]


def line_of(needs: Sequence[Need]) -> str:
    """Render needs as one line without secrets."""
    named = "; ".join(f"{need.kind} {need.workflow or 'workflow'} {need.run_id}: {need.what}" for need in needs[:_MAX_NAMED])
    more = f"; and {len(needs) - _MAX_NAMED} more" if len(needs) > _MAX_NAMED else ""
    return f"{short_line(redact(named), _MAX_LINE)}{more}"


def send(url: str, needs: Sequence[Need]) -> bool:
    """Send one line about needs, without retrying.

    Args:
        url: An apprise address, such as `slack://…`, `mailto://…`, `json://HOST/PATH`; it may contain a secret and is never shown.
        needs: What to announce, at least one need.

    Returns:
        Whether the channel accepted it.

    Raises:
        ParameterError: apprise is not installed or does not support the address.
    """
    try:
        import apprise
    except ImportError:
        raise ParameterError("the package apprise is required but not installed", hint="pip install 'smithers-nb[notify]'") from None
    channel = apprise.Apprise()
    if not channel.add(url):
        raise ParameterError(
            "--notify: apprise does not support this address", hint="see https://github.com/caronc/apprise for a list, such as json://HOST"
        )
    count = "One thing needs you" if len(needs) == 1 else f"{len(needs)} things need you"
    return bool(channel.notify(title=count, body=line_of(needs)))


def marks_for(needs: Iterable[Need], *, by: str, now: int) -> list[Mark]:
    """Return the marks that record that a person was notified of needs."""
    return [Mark(need.store, need.run_id, now + offset, "notified", by, None, cause_of(need)) for offset, need in enumerate(needs)]
