"""What became of a bug report: filed at an endpoint, saved in a file, or neither because a person declined."""

from __future__ import annotations

from smithers_nb.model.finding import Finding, described


class BugFiled(Finding):
    """The endpoint took the report."""

    id: str = described("what the endpoint calls it")
    url: str | None = described("where it can be looked at; none when the answer named no http(s) address", default=None)
    endpoint: str = described("where it was sent")
    earlier: bool = described("it was filed before, so nothing was sent now", default=False)


class BugSaved(Finding):
    """The endpoint did not accept the report, so it was saved."""

    reason: str = described("why it was not taken, in plain words")
    path: str | None = described("file that keeps the payload; none when it could not be written either", default=None)
    endpoint: str = described("where it should have gone")


class BugOutcome(Finding):
    """Output row of the node `report-bug`."""

    filed: bool
    bug_id: str | None = None
    bug_url: str | None = None
    detail: str = described("one line for a person", default="")


def outcome_of(result: BugFiled | BugSaved | None) -> BugOutcome:
    """Write down what became of a report; None is a report that nobody allowed to send."""
    if result is None:
        return BugOutcome(filed=False, detail="Nobody agreed to send a report, so none was sent.")
    if isinstance(result, BugFiled):
        before = " before, so it was not sent again" if result.earlier else ""
        see = f" See {result.url}" if result.url else ""
        detail = f"Filed as {result.id} at {result.endpoint}{before}.{see}"
        return BugOutcome(filed=True, bug_id=result.id, bug_url=result.url, detail=detail)
    kept = f"; it was saved in {result.path}" if result.path else ", and it could not be saved either"
    return BugOutcome(filed=False, detail=f"The report was not accepted: {result.reason}{kept}.")
