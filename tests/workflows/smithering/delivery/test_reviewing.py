"""Reviews are of different families, and what they say together is counted."""

from __future__ import annotations

from typing import Any

from smithers_nb.workflows.smithering.delivery.reviewing import reviewers_of, synthesis
from smithers_nb.workflows.smithering.results.delivery import ReviewFinding
from smithers_nb.workflows.smithering.results.plan import Issue


def finding(reviewer: str, *issues: Issue, approved: bool = True) -> ReviewFinding:
    return ReviewFinding(reviewer=reviewer, approved=approved, issues=issues)


def issue(severity: Any, title: str, file: str = "") -> Issue:
    return Issue(severity=severity, title=title, file=file)


def test_reviewers_are_of_different_families() -> None:
    """No family is asked twice, and without a further family a reviewer is left out."""
    assert reviewers_of(["a", "b", "c", "d"]) == {"fable": "a", "codex": "b", "fast": "c"}
    assert reviewers_of(["a", "a"]) == {"fable": "a"}


def test_one_answer_is_no_synthesis() -> None:
    """Fewer than two reviewers say nothing together, even if one speaks twice, and its issues are not taken over."""
    for found in ([finding("fable", issue("major", "x"))], [finding("fable"), finding("fable")], []):
        said = synthesis(found)
        assert said.summary.startswith("no synthesis")
        assert (said.approved, said.must_fix) == (False, ())


def test_an_issue_counts_once_with_its_gravest_severity() -> None:
    """The same issue of two reviewers is one, and whatever is critical or major must be fixed."""
    one = finding("fable", issue("minor", "Missing foreign key", "db.py"), issue("nit", "Typo"))
    other = finding("codex", issue("critical", "missing foreign key on orders", "db.py"), approved=False)
    said = synthesis([one, other])
    assert [(each.severity, each.title) for each in said.must_fix] == [("critical", "missing foreign key on orders")]
    assert "raised by fable, codex" in said.must_fix[0].description
    assert [each.title for each in said.nice_to_have] == ["Typo"]
    assert not said.approved


def test_issues_of_different_files_stay_two() -> None:
    """Equal words about another file are another issue."""
    said = synthesis([finding("fable", issue("major", "no test", "a.py")), finding("codex", issue("major", "no test", "b.py"))])
    assert len(said.must_fix) == 2


def test_nothing_to_fix_and_a_majority_is_approval() -> None:
    """Two of three approve, and nothing must be fixed."""
    said = synthesis([finding("fable"), finding("codex", issue("nit", "Typo")), finding("fast", approved=False)])
    assert said.approved
    assert said.reviewers == ("fable", "codex", "fast")
