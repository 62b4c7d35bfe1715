"""The command line: one file a group of commands. Everything slow to import is imported where it is used."""

from asyncjobs.cli.main import main

__all__ = ["main"]
