"""The command's first steps, before anything heavy is loaded: note what is read, and end in good order on a signal."""

from __future__ import annotations

import gc
import sys

from hopperbook import reads


def main() -> None:
    """Run the command; INT, TERM and HUP end it with exit code 130."""
    reads.watch(early=True)
    try:
        from hopperbook.report.processes import one_thread_each, stopped_by_signals

        one_thread_each()
        with stopped_by_signals():
            from hopperbook import cli

            cli.main()
    except KeyboardInterrupt:
        print("hopperbook: stopped", file=sys.stderr)
        sys.exit(130)
    finally:
        gc.freeze()  # on its way out Python need not look through all that was loaded for what nobody holds


if __name__ == "__main__":
    main()
