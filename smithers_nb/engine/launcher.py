"""What our kernel spec runs: ipykernel, without an import that nothing here needs.

With a jupyter server installed, `jsonschema` finds `rfc3987_syntax`, which builds a grammar for almost a second in every kernel
and again at the first rich display. Naming the module None makes Python say that it is not there, and jsonschema does without.
"""

from __future__ import annotations

import sys


def block_slow_imports() -> None:
    """Make optional modules that cost a second look as if they were not installed."""
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]


def main() -> None:
    """Start the kernel with the arguments of the kernel spec."""
    block_slow_imports()
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance()


if __name__ == "__main__":
    main()
