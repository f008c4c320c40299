"""`python -m qchat` and the `qchat` console script."""

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    from .cli import run

    sys.exit(run())


if __name__ == "__main__":
    main()
