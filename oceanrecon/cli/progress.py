"""Progress of long work: a bar on a terminal, a line now and then elsewhere, nothing where JSON is printed."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from oceanrecon.cli.common import console, duration, errors

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


class RunProgress:
    """How a run on a cluster goes, and Ctrl-C between two of its tasks."""

    def __init__(self, what: str, *, silent: bool) -> None:
        """Of ``what``, such as ``blocks``."""
        self._what = what
        self._bar = ProgressBar(what, silent=silent)
        self._interrupted = False
        self._handler: Any = None

    def __enter__(self) -> RunProgress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)
        self._bar.close()

    def connected(self, client: Any) -> None:
        """Say on what it runs; from now on the first Ctrl-C waits for the tasks that are running."""
        from oceanrecon.service.connect import describe

        if not self._bar.silent:
            console.print(describe(client), soft_wrap=True)
        # raised inside dask, an interrupt would leave a traceback
        self._handler = signal.signal(signal.SIGINT, self._interrupt)

    def _interrupt(self, *_: object) -> None:
        self._interrupted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        errors.print(f"stopping after the {self._what} that are being made; Ctrl-C again stops at once", soft_wrap=True)

    def step(self, progress: Any) -> None:
        """Show a step, or stop where that was asked for."""
        if self._interrupted:
            raise KeyboardInterrupt
        failed = f"[red]{progress.failed} failed[/]" if progress.failed else "0 failed"
        self._bar.show(progress.done, progress.total, f"{failed}: {progress.message}")


@contextmanager
def running(what: str, *, silent: bool) -> Iterator[RunProgress]:
    """A run on a cluster with its progress, in steps of ``what``; one that is interrupted says what it leaves."""
    show = RunProgress(what, silent=silent)
    try:
        with show:
            yield show
    except KeyboardInterrupt:
        errors.print(
            "interrupted: what is finished is kept; run the same command with --resume (without --overwrite)",
            soft_wrap=True,
        )
        raise typer.Exit(130) from None
