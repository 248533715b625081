"""The command line: a thin mirror of the library, one module per noun, loaded when it is called.

`main` is the entry point of the `smithers-nb` script; `app` knows the commands, `options` what they share, `output` how rows
and findings are printed, `text_page` how a page for a person is laid out.
"""

from smithers_nb.cli.app import main

__all__ = ["main"]
