"""The `gatehouse` command: the only place that parses arguments. Its work is done by the layers below."""

import gc


def main() -> None:
    """Run a command. Exit code 0: done; 1: refused or failed, with one line on stderr; 2: wrong usage."""
    # What an import makes stays. To look through it for garbage, again and again, took a fifth of a start.
    gc.disable()
    from cli.commands import run

    gc.freeze()
    gc.enable()
    run()
