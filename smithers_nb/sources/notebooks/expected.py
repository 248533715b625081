"""Whether a cell was meant to end with an error: a tag, or words beside it.

Whoever shows an error on purpose mostly says so: with the tag that runners look for, in a comment, or in the text before or after the
cell. That a run went on after an error says little by itself; `state` weighs it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from smithers_nb.sources.notebooks.document import Cell

_TAGS: Final = frozenset({"raises-exception", "nbval-raises-exception", "allow-errors", "expect-error"})
_KIND: Final = (
    r"(?<!standard )(?<!squared )(?<!absolute )(?<!percentage )(?<!mean )(?<!training )(?<!test )(?<!validation )"
    r"(?:[\w.]*(?:Error|Exception)|errors?|exceptions?|traceback|failure)"
    r"(?! (?:rate|bar|term|margin|function|model|analysis|estimat|metric|distribution|propagation|handl|check|log)\w*)"
)
"""What a cell may end with; errors of a measurement or a model are something else."""

_ANNOUNCED: Final = re.compile(
    rf"\b(?:will|would|should|could|may|might|get|gets|got|give|gives|results? in|produces?|raises?|throws?|causes?|generates?|returns?"
    rf"|expect(?:ed|s)?|encountered)\b(?:\W+[\w`]+){{0,4}}?\W+{_KIND}\b"
    r"|\b(?:will|would|should|must|does|is (?:going|expected|supposed) to|are expected to|expected to|supposed to|intended to)"
    r"(?:\W+\w+){0,2}?\W+(?:fail|fails|crash|break|error|raise|throw|not work)\b"
    r"|\b(?:doesn[\u2019']t|does not|won[\u2019']t|will not|wouldn[\u2019']t|didn[\u2019']t) (?:work|compile|run)\b"
    r"|\b(?:this line is not run|not be run|never reached|on purpose|deliberate(?:ly)?|intentional(?:ly)?"
    r"|is illegal|are (?:also )?illegal|fails?:)"
    rf"|\b(?:an|the) {_KIND} (?:is|was|will be) (?:raised|thrown)|\bwhy the {_KIND}\b|\bhow we got an? {_KIND}|\b{_KIND} messages?\b",
    re.IGNORECASE,
)
_COMMENT: Final = re.compile(r"^\s*(?:#+|//+|--|;+|%)\s*(?P<words>.*)$", re.MULTILINE)
_TRAILING: Final = re.compile(r"\S\s+(?:#|//)\s*(?P<words>.*)$", re.MULTILINE)
_COMMENTED: Final = re.compile(
    r"^(?:(?:\w+[ -]){0,3}?(?:errors?|exception|incorrecto?|wrong|invalid|illegal|fails?|fehler|erreur|erro|falsch)\b"
    r"(?!\s*(?:handl|check|log|messag))"
    r"|bad\b)",
    re.IGNORECASE,
)
_NEAR: Final = 320
_SHORT: Final = 15
"""Lines of a cell whose comments speak of the cell; those of a program speak of its parts."""


def is_tagged(cell: Cell) -> bool:
    """Return whether a tag says that the cell may end with an error."""
    return bool(cell.tags & _TAGS)


def is_announced(cell: Cell, name: str) -> bool:
    """Return whether a comment in the cell or the text beside it says that it ends with an error.

    Args:
        cell: The cell.
        name: Class of its error; text that names it speaks of it.
    """
    short = cell.source if cell.source.count("\n") < _SHORT else ""
    comments = [match["words"].strip() for pattern in (_COMMENT, _TRAILING) for match in pattern.finditer(short)]
    named = re.compile(rf"\b{re.escape(name)}\b") if len(name) > len("Error") else None
    near = [words for words in comments if len(words) < _NEAR]
    if any(_ANNOUNCED.search(words) or _COMMENTED.match(words) or (named is not None and named.match(words)) for words in near):
        return True
    beside = (_last_paragraph(cell.before), _first_paragraph(cell.after))
    return any(_ANNOUNCED.search(words) or (named is not None and named.search(words)) for words in beside)


def _last_paragraph(text: str) -> str:
    return text.strip()[-_NEAR:].rpartition("\n\n")[2]


def _first_paragraph(text: str) -> str:
    return text.strip()[:_NEAR].partition("\n\n")[0]
