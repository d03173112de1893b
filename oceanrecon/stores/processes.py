"""Names of processes that mean one process of one machine, so that another can see whether it has ended."""

from __future__ import annotations

import os
from pathlib import Path


def own_process() -> str:
    """This process: boot of the machine, namespace of its numbers, number, and when it began; empty where unknown."""
    here = _here()
    began = _began(os.getpid())
    return f"{here} {os.getpid()} {began}" if here and began else ""


def has_ended(process: str) -> bool:
    """Whether a process (see ``own_process``) has certainly ended; never of one that is out of our sight.

    A container or another machine has other numbers. A machine that was booted since has no process of before.
    """
    here, _, rest = process.partition(" ")
    number, _, began = rest.partition(" ")
    return bool(process) and here == _here() and _began(int(number)) != began


def _here() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return ""


def _began(number: int) -> str:
    """When a process began, in ticks since the boot; empty where there is none, or only its remains."""
    try:
        # the name in brackets may hold anything, brackets too
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
