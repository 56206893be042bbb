"""`python -m minidistil` is the `minidistil` command."""

import sys


def run() -> int:
    """Run the command; Ctrl-C is answered from its first import on."""
    try:
        from minidistil.cli.main import main

        return main()
    except KeyboardInterrupt:
        from minidistil.streams import say

        say("minidistil: interrupted")
        return 130


if __name__ == "__main__":
    sys.exit(run())
