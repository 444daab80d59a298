"""The command `modelplane version`. Called by `cli.py`."""

from argparse import ArgumentParser
from collections.abc import Sequence

from modelplane.adapters.shared.release import VERSION
from modelplane.adapters.shared.settings import complete


def main(argv: Sequence[str]) -> int:
    """Print the version; return the exit status."""
    parser = ArgumentParser(prog="modelplane version", description="Print the version.")
    complete(parser)
    parser.parse_args(argv)
    print(f"modelplane {VERSION}")
    return 0
