"""The commit that a ticket would land as: made before it is tested, so that what was tested is what lands.

A candidate is one commit on the tip with everything that the ticket's branch changed. It is computed on objects, without a checkout, and
is refused when nobody could answer for it: without a change, with markers of a conflict, a submodule, a link out of the repository, or a
secret.
"""

from __future__ import annotations

import re
from posixpath import dirname, isabs, join, normpath
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from smithers_nb.errors import GitFailed
from smithers_nb.redact import redact
from smithers_nb.workflows.smithering.landing.git import attempt, git, is_related, patch_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from smithers_nb.workflows.smithering.tickets import Ticket

_SUBMODULE: Final = "160000"
_LINK: Final = "120000"
_OPENING: Final = re.compile(r"^\+<{7} ", re.MULTILINE)
_CLOSING: Final = re.compile(r"^\+>{7} ", re.MULTILINE)
_MAX_LISTED: Final = 5
_DIFF: Final = ("-r", "--raw", "--patch", "--binary", "--full-index", "--no-abbrev", "--no-renames", "--no-ext-diff", "--no-textconv")
"""First a line per file with its mode, then, after an empty line, the patch."""


class Candidate(NamedTuple):
    """What a ticket would land as.

    Attributes:
        ticket_id: The ticket.
        head: The commit.
        base: Its only parent, a tip of the integration branch.
        source: Commit of the ticket's branch that it was made from.
        patch: Id of its change.
        diff: Its change.
    """

    ticket_id: str
    head: str
    base: str
    source: str
    patch: str
    diff: str


class Unlandable(NamedTuple):
    """Why no commit can be made, or none that may land.

    Attributes:
        kind: `conflict` or `refused`.
        message: What is wrong, for whoever is to repair it.
    """

    kind: Literal["conflict", "refused"]
    message: str


def make_candidate(repo: Path, ticket: Ticket, run_id: str, base: str, source: str) -> Candidate | Unlandable:
    """Make the commit that a ticket would land as, or say why there is none.

    Args:
        repo: The repository.
        ticket: What lands.
        run_id: The run that lands it.
        base: Tip of the integration branch.
        source: Commit of the ticket's branch.

    Raises:
        GitFailed: Git could not compute the merge.
    """
    merged = attempt(repo, "merge-tree", "--write-tree", "--name-only", "--no-messages", base, source)
    tree, *files = merged.output.split("\n")
    if merged.code == 1:
        listed = tuple(dict.fromkeys(name for name in files if name))
        return Unlandable("conflict", f"conflicts with what has landed meanwhile, in {_listed(listed)}")
    if merged.code != 0 and not is_related(repo, base, source):
        return Unlandable("refused", f"its branch has no commit in common with {base[:12]}: the history that it started from was replaced")
    if merged.code != 0:
        raise GitFailed(f"the merge of {ticket.id} could not be computed: {redact(merged.errors[-300:])}", command="git merge-tree")
    head = git(repo, "commit-tree", tree, "-p", base, given=_message(ticket, run_id))
    raw, _, diff = git(repo, "diff-tree", *_DIFF, base, head).partition("\n\n")
    if not raw:
        return Unlandable("refused", "done without a change: its branch has no commit that changes anything")
    problem = next(_problems(repo, raw, diff), None)
    return problem or Candidate(ticket.id, head, base, source, patch_id(repo, diff), f"{diff}\n")


def _message(ticket: Ticket, run_id: str) -> str:
    title = redact(" ".join(ticket.title.split()))[:200] or ticket.id
    needs = f"Requirements: {', '.join(ticket.requirement_ids)}\n\n" if ticket.requirement_ids else ""
    text = f"{title}\n\n{needs}smithering-land: {ticket.id}\nsmithering-run: {' '.join(run_id.split())}\n"
    return text.encode("utf-8", "replace").decode()


def _problems(repo: Path, raw: str, patch: str) -> Iterator[Unlandable]:
    if _OPENING.search(patch) and _CLOSING.search(patch):
        yield Unlandable("refused", "markers of a conflict were committed; resolve the conflict")
    for line in raw.splitlines():
        (_, mode, _, blob, _), name = line.partition("\t")[0].split(), line.partition("\t")[2]
        if mode == _SUBMODULE:
            yield Unlandable("refused", f"{name} is a submodule, whose content nobody verified; commit the files")
        if mode == _LINK and _leaves(name, git(repo, "cat-file", "blob", blob)):
            yield Unlandable("refused", f"{name} is a link to a place outside of the repository")
    named = (name for name in (line.partition("\t")[2] for line in raw.splitlines()) if redact(name) != name)
    secrets = tuple(dict.fromkeys((*named, *_files_with_secrets(patch))))
    if secrets:
        where = redact(_listed(secrets))
        yield Unlandable("refused", f"what looks like a secret was committed in {where}; read it from the environment")


def _leaves(name: str, target: str) -> bool:
    return isabs(target) or normpath(join(dirname(name), target)).startswith("..")


def _files_with_secrets(patch: str) -> Iterator[str]:
    """Return the files whose added lines hold a secret."""
    added: dict[str, list[str]] = {}
    name = ""
    for line in patch.splitlines():
        if line.startswith("+++ "):
            name = line[4:].removeprefix("b/")
        elif line.startswith("+"):
            added.setdefault(name, []).append(line[1:])
    for file, lines in added.items():
        text = "\n".join(lines)
        if redact(text) != text:
            yield file


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return f"{', '.join(names[:_MAX_LISTED])}{more}"
