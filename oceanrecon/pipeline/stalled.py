"""Workers that are alive and end nothing: a read that never returns, a machine that stands still."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from distributed import Client, Future


class StalledTaskError(TimeoutError):
    """A task that did not end, and was stopped together with its worker."""


class StalledWorkers:
    """Restarts workers that have ended no task of a run for too long, and remembers which task each was making."""

    def __init__(self, client: Client, patience: float) -> None:
        """On the workers of ``client``; ``patience`` in seconds."""
        self._client, self._patience = client, patience
        self._since: dict[str, tuple[frozenset[str], float]] = {}
        self._looked = time.monotonic()
        self._blamed: dict[str, StalledTaskError] = {}

    def look(self, in_flight: Mapping[str, Future[Any]]) -> list[str]:
        """Restart what stands still; the keys of the tasks that were running there.

        Args:
            in_flight: tasks of this run by key, in the order in which they were submitted.
        """
        now = time.monotonic()
        if now - self._looked < self._patience / 20:
            return []
        self._looked = now
        since = {}
        blamed = []
        for worker, keys in self._client.processing().items():
            mine = frozenset(keys) & in_flight.keys()
            if not mine:
                continue
            before, when = self._since.get(worker, (None, now))
            since[worker] = (mine, when if before == mine else now)
            if now - since[worker][1] > self._patience:
                del since[worker]
                blamed.append(self._restart(worker, next(key for key in in_flight if key in mine), in_flight))
        self._since = since
        return blamed

    def gave_up(self, key: str) -> StalledTaskError | None:
        """Why a task was cancelled by ``look``, if it was."""
        return self._blamed.pop(key, None)

    def _restart(self, worker: str, key: str, in_flight: Mapping[str, Future[Any]]) -> str:
        self._blamed[key] = StalledTaskError(
            f"it ran for more than {self._patience:g} s on {worker}: a read that never returns, or a machine that "
            "stands still"
        )
        in_flight[key].cancel()  # or dask would run it again by itself, and again
        with suppress(OSError, TimeoutError):
            # SIGKILL by its nanny also ends a stopped process; a machine that is away is left to dask's worker-ttl
            self._client.restart_workers([worker], timeout=30, raise_for_error=False)
        return key
