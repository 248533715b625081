"""The one look of everything a person sees: `templates/report/theme.css`, scoped under the class `snb`.

Notebook cards carry it in themselves, the report once in its head.
"""

from __future__ import annotations

import re
from functools import cache

from smithers_nb.resources import resource

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_ROOT = re.compile(r"\.snb(?![\w-])")
_SPACE = re.compile(r"\s*([{};,>])\s*|\s+")


@cache
def theme_css() -> str:
    """Read the theme, without comments and needless space."""
    return minified(resource("templates/report/theme.css").read_text(encoding="utf-8"))


@cache
def style_block() -> str:
    """Wrap the theme for a notebook output.

    Jupyter has rules of its own for tables and lists in outputs; an id in ours outranks them, whatever their order.
    """
    return f"<style>{_ROOT.sub(':is(.snb,#snb)', theme_css())}</style>"


def minified(css: str) -> str:
    """Drop comments and needless space of a style sheet that has neither in its strings."""
    return _SPACE.sub(lambda match: match.group(1) or " ", _COMMENT.sub("", css)).strip()
