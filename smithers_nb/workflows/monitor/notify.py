"""One line to a person's own channel about what newly needs them, through apprise: chat, mail, desktop, webhook.

What was said once is remembered in our journal by its cause, so the same failure is not said again, whichever run meets it next.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from smithers_nb.engine.journal.attention import Mark
from smithers_nb.errors import ParameterError
from smithers_nb.redact import redact, short_line

if TYPE_CHECKING:
    from smithers_nb.workflows.monitor.attention import Need

_LINE: Final = 500
_NAMED: Final = 3


def cause_of(need: Need) -> str:
    """Return what makes two needs the same: the signature of a failure, else the very gate or question."""
    return need.signature or f"{need.kind} {need.run_id} {need.node_id or ''}#{need.iteration}"


def unsaid(needs: Iterable[Need], marks: Iterable[Mark]) -> list[Need]:
    """Return what nobody has been told of yet, one for each cause; what is put aside needs nobody."""
    said = {(mark.store, mark.note) for mark in marks if mark.action == "notified"}
    fresh = {(need.store, cause_of(need)): need for need in needs if not need.put_aside}
    return [need for key, need in fresh.items() if key not in said]


def line_of(needs: Sequence[Need]) -> str:
    """Write what needs somebody as one line without secrets."""
    named = "; ".join(f"{need.kind} {need.workflow or 'workflow'} {need.run_id}: {need.what}" for need in needs[:_NAMED])
    more = f"; and {len(needs) - _NAMED} more" if len(needs) > _NAMED else ""
    return f"{short_line(redact(named), _LINE)}{more}"


def send(url: str, needs: Sequence[Need]) -> bool:
    """Send one line about needs, once; no second try.

    Args:
        url: An address as apprise has them, such as `slack://…`, `mailto://…`, `json://HOST/PATH`; it may hold a secret and is not shown.
        needs: What to tell of, at least one.

    Returns:
        Whether it was taken.

    Raises:
        ParameterError: apprise is not installed, or does not know such an address.
    """
    try:
        import apprise
    except ImportError:
        raise ParameterError("needs the package apprise, which is not installed", hint="pip install 'smithers-nb[notify]'") from None
    channel = apprise.Apprise()
    if not channel.add(url):
        raise ParameterError("--notify: no such kind of address", hint="https://github.com/caronc/apprise lists them, such as json://HOST")
    count = "One thing needs you" if len(needs) == 1 else f"{len(needs)} things need you"
    return bool(channel.notify(title=count, body=line_of(needs)))


def marks_for(needs: Iterable[Need], *, by: str, now: int) -> list[Mark]:
    """Make what is remembered of needs that somebody was told of."""
    return [Mark(need.store, need.run_id, now + place, "notified", by, None, cause_of(need)) for place, need in enumerate(needs)]
