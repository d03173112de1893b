"""``oceanrecon`` that is killed at one place of a submission: `python -m tests.drills.client PLACE submit ...`.

Its own leases are short: it is the only one who holds the output then.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

#: What it is about to do when it is killed.
PLACES = {"prepared": "write_record", "recorded": "hand_over", "handed": "remember"}
LEASE = 3.0


def main() -> None:
    """Run the command."""
    from oceanrecon.cli import main as command
    from oceanrecon.service.jobs import submit
    from oceanrecon.stores.lease import Lease

    def die(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    place, *sys.argv[1:] = sys.argv[1:]
    vars(submit)[PLACES[place]] = die
    defaults = Lease.take.__func__.__kwdefaults__  # type: ignore[attr-defined]
    defaults["seconds"] = LEASE
    command()


if __name__ == "__main__":
    main()
