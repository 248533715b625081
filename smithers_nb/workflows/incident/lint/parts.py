"""The tables of a profile that only `incident lint` reads: the documented steps, and how to make runs to try them on."""

from __future__ import annotations

from typing import Literal

from smithers_nb.workflows.incident.profile_parts import Part


class Documented(Part):
    """One step as documented in the orchestrator's runbook.

    Attributes:
        says: The step, paraphrased from the runbook.
        do: `run` a command, `open` a file, or `look` with a command that is not meant to change anything.
        state: Signature of the failure in which the step is meant to work; empty for any run.
        verb: The command.
        file: The file, by its name in `[files]`.
        instead: What works instead, if known.
    """

    id: str
    says: str
    do: Literal["run", "open", "look"]
    state: str = ""
    verb: str = ""
    file: str = ""
    instead: str = ""


class Sandbox(Part):
    """What `incident lint` needs to make its own runs.

    Attributes:
        needs: Programs that must be on PATH.
        library: Name of the package folder above one of these programs, such as `node_modules`, to link into the empty folder.
        env: The only variables of `program.env` that commands see there.
    """

    needs: tuple[str, ...] = ()
    library: str = ""
    env: dict[str, str] = {}  # noqa: RUF012  # pydantic copies it


class Trial(Part):
    """How `incident lint` brings a run into a state, to try the recovery of that state on it.

    Attributes:
        state: Signature of the state.
        make: Commands that make the run, in an empty folder with `files`; their exit codes are ignored.
        kill_when: The first of them is killed, with everything it started, as soon as this file exists.
        within_s: Seconds within which the state must appear.
        values: Values for placeholders in commands and for steps of the recovery, as with `--with`.
        mended: Files to write before the recovery, as a person who fixes the run would.
        by_hand: Commands to run before the recovery, as a person who decides would.
    """

    id: str
    state: str
    files: dict[str, str] = {}  # noqa: RUF012  # pydantic copies it
    make: tuple[str, ...]
    kill_when: str = ""
    within_s: float = 20
    values: dict[str, str] = {}  # noqa: RUF012  # pydantic copies it
    mended: dict[str, str] = {}  # noqa: RUF012  # pydantic copies it
    by_hand: tuple[str, ...] = ()
