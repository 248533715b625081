"""Where the files that are not code lie: notebooks, templates, the example store.

In a checkout they are the folders beside the package; an installed wheel has them under the environment's `share/smithers_nb`.
"""

from __future__ import annotations

import sysconfig
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parent.parent
_INSTALLED = Path(sysconfig.get_path("data")) / "share" / "smithers_nb"


def resource(name: str) -> Path:
    """Find a file or folder by its path below the project root, such as `notebooks/autopsy.ipynb`.

    Raises:
        FileNotFoundError: The installation is incomplete.
    """
    for root in (_CHECKOUT, _INSTALLED):
        if (root / name).exists():
            return root / name
    raise FileNotFoundError(f"{name} is neither in {_CHECKOUT} nor in {_INSTALLED}; reinstall smithers-nb")
