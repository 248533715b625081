"""What people do to runs: submit, resume, retry, rewind, cancel, decide, answer.

Functions over a `Place`: each checks first, refuses with a `ControlRefused` that has Smithers' own code, and changes the journal in one
transaction. None of them executes a notebook; `engine.runtime` does, afterwards.
"""

from smithers_nb.engine.control.submit import submit

__all__ = ["submit"]
