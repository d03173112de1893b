"""Progress of long work: a bar on a terminal, a line now and then elsewhere, nothing where JSON is printed."""

from __future__ import annotations

import time
from typing import Any

from oceanrecon.cli.common import console, duration

#: Seconds between lines where the output is not a terminal.
_EVERY = 10.0


class ProgressBar:
    """Shows how many of some things are done."""

    def __init__(self, what: str, *, silent: bool = False) -> None:
        """Of ``what``, such as ``files``."""
        self.silent = silent
        self._what = what
        self._bar: Any = None
        self._task: Any = None
        self._started = self._last = time.monotonic()

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the bar as it is, and give the terminal back."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def show(self, done: int, total: int, text: str = "") -> None:
        """``done`` of ``total`` are finished, the last of them ``text``."""
        if self.silent:
            return
        if not console.is_terminal:
            now = time.monotonic()
            if now - self._last >= _EVERY or done == total:
                self._last = now
                which = f", {text}" if text else ""
                console.print(f"{done}/{total} {self._what}{which} ({duration(now - self._started)})", soft_wrap=True)
            return
        if self._bar is None:
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )

            self._bar = Progress(
                TextColumn(self._what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
                TextColumn("{task.description}"), console=console,
            )  # fmt: skip
            # what was done before does not count for the time that is left
            self._task = self._bar.add_task("", total=total, completed=done - 1)
            self._bar.start()
        self._bar.update(self._task, completed=done, description=text)
