"""Files that are fetched one by one: continued, checked, named, and how it went."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from oceanrecon.pipeline.download.attempts import Manner, refuse_full_disk
from oceanrecon.pipeline.download.received import Received
from oceanrecon.pipeline.download.remote import Outcome, Remote


def fetch_one(remote: Remote, bring: Callable[[Remote, Path], None], received: Received, manner: Manner) -> Outcome:
    """A file by ``bring``, which does one try to bring the rest of it into a part."""
    started = time.monotonic()

    def once() -> tuple[int, str]:
        part = received.part(remote)
        bring(remote, part)
        record = received.take(remote, part)
        return record.size, record.sha256

    try:
        size, sha256 = manner.retried(once)
    except Exception as error:
        refuse_full_disk(error)
        seconds = time.monotonic() - started
        return Outcome(remote.stream, remote.target, remote.day, "failed", seconds=seconds, error=error)
    return Outcome(remote.stream, remote.target, remote.day, "fetched", size, sha256, time.monotonic() - started)
