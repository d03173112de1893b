"""A real file system of a few megabytes, that a drill can fill."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Disk:
    """A disk that only some processes see."""

    #: where those processes see it
    inside: Path
    #: where this process sees it
    outside: Path
    #: runs a command as one of those processes
    prefix: tuple[str, ...]

    def fill(self) -> None:
        """Leave no byte."""
        with (self.outside / "filler").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 4096)
            except OSError:
                pass

    def empty(self) -> None:
        """Make room again."""
        (self.outside / "filler").unlink()


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Disk]:
    """A disk of ``size`` (``20m``), mounted at ``folder``; where nothing can be mounted the test is skipped."""
    folder.mkdir()
    process = subprocess.Popen(
        ["unshare", "--mount", "--map-root-user", "sh", "-c",
         f"mount -t tmpfs -o size={size} tmpfs '{folder}' && echo mounted && exec sleep 600"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        if process.stdout.readline().strip() != "mounted":
            pytest.skip("no small file system can be mounted here")
        enter = ("nsenter", "--user", "--mount", "--preserve-credentials", f"--target={process.pid}")
        yield Disk(folder, Path(f"/proc/{process.pid}/root{folder}"), enter)
    finally:
        process.kill()
        process.communicate()
