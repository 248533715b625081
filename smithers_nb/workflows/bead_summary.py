"""Asks a provider to put the failure of a bead into plain words, and stores its answer next to the raw reason.

The provider is asked outside a transaction, because it may take minutes. Its sentences are filtered like the prose of an autopsy. When it
gives no usable answer, the deterministic summary stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from smithers_nb.agents.providers.settings import provider_named
from smithers_nb.agents.verification.evidence_index import flat
from smithers_nb.agents.verification.prose import believable
from smithers_nb.errors import ProviderError
from smithers_nb.ledger import summaries
from smithers_nb.redact import redact

if TYPE_CHECKING:
    from smithers_nb.ledger import Ledger
_MAX_FACTS: Final = 20_000
"""Characters, from the end: that is where output says why it ended."""


def summarise_failure(ledger: Ledger, bead_id: str, provider: str) -> str:
    """Store a provider's summary of a bead's newest failure, if it needs one; the same provider is asked once.

    Args:
        ledger: Where the bead is.
        bead_id: The bead.
        provider: `remote_llm` or `codex_exec`; `internal` writes the deterministic summary when there is none.

    Returns:
        Why there is no summary of the provider; empty when there is one.

    Raises:
        ParameterError: There is no such provider, or something it needs is missing or malformed.
    """
    asked = provider_named(provider)
    with ledger.writing() as connection:
        summaries.summarise(ledger, connection, bead_id)
        subject = summaries.subject_of(connection, bead_id)
        author = None if subject is None else summaries.author_of(connection, subject)
    if subject is None:
        return "no summary is needed: the bead did not fail, or its message says everything"
    if asked is None or author == asked.author:
        return ""
    try:
        answer = redact(asked.summarise(subject.facts[-_MAX_FACTS:]))
    except ProviderError as error:
        return f"{asked.author} gave no answer: {error}"
    text, dropped = believable(answer, lambda words: flat(words).casefold() in flat(subject.facts).casefold())
    if not text:
        return f"{asked.author} gave no usable answer: dropped {'; '.join(dropped) or 'an empty one'}"
    with ledger.writing() as connection:
        summaries.store(ledger, connection, subject, text, asked.author)
    return ""
