"""The command `modelplane completion`: prints what lets a shell complete commands.

Called by `cli`, which also answers the shell then. `argcomplete` reads our parsers.
"""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence

from modelplane.adapters.shared.settings import complete

_SHELLS = ("bash", "zsh", "fish")
_DESCRIPTION = """\
Print what lets a shell complete commands, options and names. For this shell alone:

  source <(modelplane completion bash)
  source <(modelplane completion zsh)
  modelplane completion fish | source

For all of them, put the line into ~/.bashrc, ~/.zshrc or ~/.config/fish/config.fish.
"""


def main(argv: Sequence[str]) -> int:
    """Print it; return the exit status."""
    parser = ArgumentParser(
        prog="modelplane completion",
        description=_DESCRIPTION,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=_SHELLS)
    complete(parser)
    given = parser.parse_args(argv)
    from argcomplete.shell_integration import shellcode  # noqa: PLC0415 - needed here alone

    print(shellcode(["modelplane"], shell=given.shell))
    return 0
