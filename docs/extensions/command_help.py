"""The directive `command-help`: the output of `netprobe COMMAND --help`."""

from typing import Any

import click
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from netprobe.commands.shared.group import cli

_WIDTH = 96


def help_of(names: list[str]) -> str:
    """The help text of a command; raises `ValueError` for an unknown one."""
    command: click.Command = cli
    context = click.Context(command, info_name="netprobe", max_content_width=_WIDTH, terminal_width=_WIDTH)
    for name in names:
        inner = command.get_command(context, name) if isinstance(command, click.Group) else None
        if inner is None:
            raise ValueError(f"netprobe has no command {' '.join(names)}")
        context = click.Context(
            inner, info_name=name, parent=context, max_content_width=_WIDTH, terminal_width=_WIDTH
        )  # fmt: skip
        command = inner
    return command.get_help(context)


class CommandHelp(SphinxDirective):
    """`command-help`; its argument is the name of a command, without `netprobe`."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """A literal block with the help text."""
        text = help_of(self.arguments[0].split())
        return [nodes.literal_block(text, text, language="text")]


def setup(app: Any) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True}
