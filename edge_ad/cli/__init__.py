"""The command line: thin commands, one file per group; heavy imports only inside a command.

Rule of this folder: parse options, call one function of another package, print. Nothing imports it
but `edge_ad.__main__`.
"""

from edge_ad.cli.main import main

__all__ = ["main"]
