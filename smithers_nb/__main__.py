"""`python -m smithers_nb`: the same as the command `smithers-nb`."""

from __future__ import annotations

import sys

from smithers_nb.cli import main

if __name__ == "__main__":
    sys.exit(main())
