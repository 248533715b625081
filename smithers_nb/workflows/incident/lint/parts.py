"""The tables of a profile that only `incident lint` reads: steps as a runbook documents them, and how to make runs to try them on."""

from __future__ import annotations

from typing import Literal

from smithers_nb.workflows.incident.profile_parts import Part


class Documented(Part):
    """One step as the orchestrator's runbook documents it, for `incident lint`.

    Attributes:
        says: The step, in the runbook's sense.
        do: `run` a command, `open` a file, or `look` with a command that is not meant to change anything.
        state: Signature of the failure in which the step is meant to work; empty for any run.
        verb: The command.
        file: The file, by its name in `[files]`.
        instead: What works instead, where it is known.
    """

    id: str
    says: str
    do: Literal["run", "open", "look"]
    state: str = ""
    verb: str = ""
    file: str = ""
    instead: str = ""


class Sandbox(Part):
    """What `incident lint` needs to make runs of its own.

    Attributes:
        needs: Programs that must be on PATH.
        library: Folder of packages above one of these programs that the empty folder gets a link to, such as `node_modules`.
        env: All variables of `program.env` that commands see there.
    """

    needs: tuple[str, ...] = ()
    library: str = ""
    env: dict[str, str] = {}  # noqa: RUF012  # pydantic copies it


class Trial(Part):
    """How `incident lint` brings a run into a state, to take the recovery of that state on it.

    Attributes:
        state: Signature of the state.
        make: Commands that make the run, in an empty folder with `files`; how they end does not matter.
        kill_when: The first of them is killed with everything it started as soon as this file is there.
        within_s: Seconds in which the state must show.
        values: Values for the places of commands and for steps of the recovery, as with `--with`.
        mended: Files that are written before the recovery, as somebody who mends the run would.
        by_hand: Commands that are run before the recovery, as somebody who decides would.
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
