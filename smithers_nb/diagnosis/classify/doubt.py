"""When no verdict on a text can be sure, because its words may mean something other than an error.

That is so for a text that only names things that can go wrong, and for one that the workflow's author wrote in their own words.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from smithers_nb.diagnosis.classify.case import Case

_TECHNICAL: Final = re.compile(
    r"\bexit|\bcode\b|command|://|:\d{2,5}\b|[a-z]_[a-z]|[/\\][a-z]|\.(?:sh|py|[jt]sx?|exe)\b|\be(?:conn|not|acces|perm|nos|mfile|addr|pipe|timed|ai_)"
    r"|error|exception|fatal|https?\b|stderr|environment|connect|dns|\bapi\b|\bgit\b"
)
"""Signs that a message quotes a program, a system call or a server."""

_GOES_WRONG: Final = re.compile(
    r"error|exception|fail|fatal|panic|traceback|abort|warn|denied|refus|reject|forbid|unauthori|revoked|expired|exceed|exhaust|reached"
    r"|overload|timed? ?out|\btoo \w+|\bnot\b|n't\b|cannot|\bunable|\bmissing|\binvalid|\bunknown|\bunexpected"
    r"|\bno such|\bno space|\bout of\b|\bkilled"
    r"|\bcrash|\bcorrupt|\bbroken?\b|\blocked\b|\bclosed|\breset|\bdisconnect|\bbusy|\bmust\b|\bplease\b|\bhit your|\bis low|\bonly\b"
    r"|\bfehl|\bnicht\b|erreur|impossib|échec|errore|\berro\b|ошибк|[^\x00-\u024f]|^[\w./@-]{1,40}: "
)
"""Signs that a text reports something going wrong and does not only name a thing that can."""

_MAX_NAME_WORDS: Final = 5
"""Maximum number of words in a message that is only a name, such as `git worktree conflict`."""


def is_doubtful(case: Case) -> bool:
    """Return whether no verdict on a case can be sure, because the words that rules match may mean something else."""
    return _is_written_by_author(case) or _only_names_things(case)


def _only_names_things(case: Case) -> bool:
    """Return whether a sentence names a lock or a limit without saying what went wrong; a mere name is as good as a code."""
    numbered = case.codes or case.thrown - {""} or case.status or case.exits or case.errno
    return not numbered and len(case.text.split()) > _MAX_NAME_WORDS and not _GOES_WRONG.search(case.text)


def _is_written_by_author(case: Case) -> bool:
    """Return whether a person wrote this message into the workflow, in the words of their field, without quoting a program."""
    return not (case.thrown - {"Error"}) and case.where == "workflow" and case.kind == "compute" and not _TECHNICAL.search(case.text)
