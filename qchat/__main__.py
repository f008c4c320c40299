"""`python -m qchat` and the `qchat` console script."""

import gc
import sys


def main() -> None:
    """Run the command line and exit with its code."""
    gc.disable()  # what imports make stays anyway; `cli` enables it for the command
    from .cli import run

    code = run()
    if "vllm" in sys.modules:
        from .processes import exit_now

        exit_now(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
