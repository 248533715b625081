"""`mcp`: the door for agents, over standard input and output."""

from __future__ import annotations

from smithers_nb.cli.options import CommandContext, command, now_option


@command("mcp", now_option, example="smithers-nb mcp --source ~/shop")
def mcp(ask: CommandContext) -> None:
    """Serve read-only tools to an agent over the Model Context Protocol, on standard input and output.

    The tools list runs, explain, give the autopsy's verdict and a triage, list failures by signature, read a row that is cited, and list
    what needs a person. No tool decides or changes anything. Answers have no secrets in them and are bounded; what runs wrote is marked
    as data. Needs: pip install 'smithers-nb[mcp]'.
    """
    from smithers_nb.cli.agent_tools import server

    server(ask.source, ask.now).run("stdio")
