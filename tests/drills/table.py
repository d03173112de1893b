"""The drills: what goes wrong, when, and what becomes of it; `docs/drills.md` shows this table.

`python -m tests.drills.table` writes it there. A drill asserts the state and the words of its row.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PAGE = Path(__file__).parents[2] / "docs" / "drills.md"
BEGIN, END = "<!-- drills: begin -->", "<!-- drills: end -->"


@dataclass(frozen=True)
class Row:
    """One fault."""

    name: str
    fault: str
    when: str
    #: what the user sees in the end, if nobody does anything
    ends: Literal["complete", "incomplete", "failed", "lost"]
    #: words of `oceanrecon watch` or `oceanrecon logs`
    words: tuple[str, ...]
    #: what happens by itself
    itself: str
    #: what `oceanrecon resume` does
    resume: str


ROWS: dict[str, Row] = {}
ROWS.update({r: Row(r, "", "", "complete", (), "", "") for r in ("worker","driver","workers","client-handed","hang","memory")})
ROWS.update({r: Row(r, "", "", "lost", (), "", "") for r in ("scheduler","client-recorded","disk","suspended")})
ROWS.update({r: Row(r, "", "", "incomplete", (), "", "") for r in ("sources",)})
ROWS.update({r: Row(r, "", "", "complete", (), "", "") for r in ("taken","slurm","s3-busy")})
ROWS.update({r: Row(r, "", "", "complete", (), "", "") for r in ("suspended","client-prepared")})
ROWS.update({r: Row(r, "", "", "incomplete", (), "", "") for r in ("memory-always",)})
