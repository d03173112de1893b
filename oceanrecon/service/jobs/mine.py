"""Where this user has submitted jobs to, so that a job can be named by its id alone; a convenience, no state."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

#: Jobs that are remembered.
_MOST = 2000


@dataclass(frozen=True)
class Submitted:
    """Where a job of this user is."""

    job: str
    output: str
    scheduler: str
    tls: str | None = None


def _file() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "oceanrecon" / "jobs.jsonl"


def remember(submitted: Submitted) -> None:
    """Add a job; that the list cannot be written is no reason for a job to fail."""
    path = _file()
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(submitted)) + "\n")


def remembered() -> list[Submitted]:
    """The newest jobs of this user, the newest first, each once."""
    try:
        lines = _file().read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found: dict[str, Submitted] = {}
    for line in reversed(lines[-_MOST:]):
        with suppress(ValueError, TypeError):  # two that wrote at once
            submitted = Submitted(**json.loads(line))
            found.setdefault(submitted.job, submitted)
    return list(found.values())
