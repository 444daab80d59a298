"""The command `modelplane version`. Called by `cli.py`."""

from argparse import ArgumentParser
from collections.abc import Sequence

from modelplane.adapters.shared.release import VERSION


def main(argv: Sequence[str]) -> int:
    """Print the version; return the exit status."""
    ArgumentParser(prog="modelplane version", description="Print the version.").parse_args(argv)
    print(f"modelplane {VERSION}")
    return 0
