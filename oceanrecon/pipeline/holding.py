"""The output of a run, which nobody else writes to meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from oceanrecon.stores.files import Root, writing_while
from oceanrecon.stores.lease import Keeper, Lease
from oceanrecon.stores.lease_record import VERIFY, run_holder


@contextmanager
def held(root: Root, command: str) -> Iterator[Keeper]:
    """Have an output for the time of a block: two runs would clear away each other's files.

    An interrupt lets go of it. What the block changes is preceded by a look at the lease; its tasks need ``hold``.

    Args:
        root: the output.
        command: what is done there, as others are told it: ``patches index``.

    Raises:
        LeaseError: another run has it; or, from inside, it is lost.
        OutputError: it cannot be taken.
    """
    with Keeper(Lease.take(root, run_holder(command), tied=True)) as keeper, writing_while(keeper.hold.check):
        yield keeper


def discarding(root: Root, discard_bad: bool) -> AbstractContextManager[object]:
    """Have an output while what is bad in it is forgotten; whoever only looks may look at any time.

    Raises:
        LeaseError: bad files are to be discarded, and somebody writes there.
    """
    # what is written meanwhile is not what was checked
    return held(root, VERIFY) if discard_bad else nullcontext()
