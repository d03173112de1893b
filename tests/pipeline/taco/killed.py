"""A build that dies at a place: ``python -m tests.pipeline.taco.killed PLACE REGIONS OUTPUT``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from oceanrecon.pipeline.taco import build, stage
from tests.taco_files import ABOUT

#: The module and function, and after which of its calls it is over.
PLACES = {
    "files": (build, "_lay", 100),
    "tables": (build, "_save", 3),
    "collection": (build, "_save", 22),
    "before the swap": (build, "_write", 1),
    "after the swap": (stage, "_swap", 1),
    "between two renames": (os, "rename", 1),
}


def main(place: str, regions: str, output: str) -> None:
    module, name, calls = PLACES[place]
    before: Callable[..., Any] = getattr(module, name)
    done = 0

    def dying(*given: Any, **named: Any) -> Any:
        nonlocal done
        result = before(*given, **named)
        done += 1
        if done == calls:
            os._exit(9)
        return result

    setattr(module, name, dying)
    if place == "between two renames":
        stage._swap = _cannot
    build.build_taco(regions, output, ABOUT, overwrite=True)


def _cannot(one: Path, other: Path) -> bool:
    """As on a file system that cannot swap."""
    return False


if __name__ == "__main__":
    main(*sys.argv[1:])
