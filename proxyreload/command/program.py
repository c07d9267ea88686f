"""The options of ``proxyreload`` itself: those of a run, with the commands there are besides."""

from proxyreload.cli.commands import COMMANDS
from proxyreload.command.options import RunOptions


class ProgramOptions(RunOptions):
    """proxyreload --plugin NAME[:MECHANISM][@VERSION|@PATH], or proxyreload URL."""

    synopsis = """proxyreload [options] --plugin NAME[:MECHANISM][@VERSION|@PATH]
       proxyreload [options] URL
       proxyreload COMMAND …, see below"""
    commands = tuple((command.name, command.summary) for command in COMMANDS)
