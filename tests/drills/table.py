"""The drills: what goes wrong, when, and what becomes of it; `docs/drills.md` shows this table.

`python -m tests.drills.table` writes it there. `Job.ends` asserts the state and the words of a row, and `drills` that
a test has asserted those of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Literal, ParamSpec

PAGE = Path(__file__).parents[2] / "docs" / "drills.md"
BEGIN, END = "<!-- drills: begin -->", "<!-- drills: end -->"


@dataclass(frozen=True)
class Row:
    """One fault."""

    #: what goes wrong, and when
    fault: str
    #: state of the job when all has happened that happens by itself
    ends: Literal["complete", "incomplete", "failed", "lost"]
    #: what `oceanrecon watch` or `oceanrecon logs` say then
    words: tuple[str, ...]
    #: what happens by itself
    itself: str
    #: what somebody does, and what that does
    then: str = ""
    #: whether ``make test`` has it, too
    small: bool = True


ROWS = {
    "worker": Row(
        "A worker is killed (SIGKILL), also in the middle of a file, between two files, before and after its receipt",
        "complete",
        (),
        "its block is made again elsewhere; half a file has no name that anybody reads",
    ),
    "driver": Row(
        "The worker that drives the job is killed, also while it writes the record or the manifest",
        "complete",
        ("driver 2 begins on", "blocks are there already"),
        "the scheduler runs the driver on another worker, which reads the receipts",
    ),
    "workers": Row(
        "All workers are killed at once",
        "complete",
        ("driver 2 begins on", "blocks are there already"),
        "their nannies start new ones; the driver begins again and reads the receipts",
    ),
    "scheduler": Row(
        "The scheduler is killed",
        "lost",
        ("nobody drives it any more", "goes on where it was"),
        "workers end; from 70 s after the last renewal of its lease the job is seen to be lost",
        "`resume` on another scheduler, at once or later: the same id; what has a receipt is kept",
    ),
    "client-prepared": Row(
        "The command `submit` is killed when it has taken the output and written no job yet",
        "complete",
        (),
        "the output is free again after 70 s",
        "`submit --resume` begins a new job",
        small=False,
    ),
    "client-recorded": Row(
        "The command `submit` is killed when it has written the job, and before the scheduler has it",
        "lost",
        ("nobody has begun it since", "hands it over again, which does no harm"),
        "after 70 s the job is seen to be lost",
        "`resume` hands it over",
        small=False,
    ),
    "client-handed": Row(
        "The command `submit` is killed when the scheduler has the job",
        "complete",
        (),
        "nothing more than the usual: the job needs nobody; `watch` from another process sees it to its end",
    ),
    "hang": Row(
        "A block never returns: a read that hangs, or a worker's process that stands still",
        "complete",
        ("or a machine that stands still; it is tried again",),
        "after half an hour without an end of a block its worker is restarted, and the block is made again",
    ),
    "hang-driver": Row(
        "A block never returns on the worker that also drives the job",
        "complete",
        ("driver 2 begins on", "blocks are there already"),
        "the same; the driver begins again with its worker",
        small=False,
    ),
    "memory": Row(
        "A block needs more memory than its worker has, once",
        "complete",
        (),
        "its nanny ends the worker; the block is made again",
    ),
    "memory-always": Row(
        "A block needs more memory than any worker has",
        "incomplete",
        ("the workers that made it died or had to be restarted, time and again: too little memory",),
        "it is tried again, then alone, then set aside and named; all others are made",
        "more memory, `resume`",
        small=False,
    ),
    "disk": Row(
        "The disk of the output is full to the last byte",
        "lost",
        ("the disk of", "is full (", "make room, then"),
        "the job ends; it cannot even write that down, so that it is seen to be lost",
        "room, `resume`",
    ),
    "sources": Row(
        "Of the source files of blocks that are not made yet one vanishes, one is cut short, one has a bit flipped",
        "incomplete",
        ("it does not exist any more", "it changed since it was listed", "is damaged"),
        "the blocks that need them fail, each with the name of the file; all others are made",
        "the files again, `resume`",
    ),
    "suspended": Row(
        "The driver's worker stands still (SIGSTOP) for longer than its lease lasts, and wakes up, or does not",
        "complete",
        ("driver 2 begins on",),
        "seen to be lost for a while; a worker that wakes up soon has its driver run again, one that does not is given "
        "up after two to four minutes, and its driver run elsewhere",
    ),
    "edge": Row(
        "The driver's worker stands still until about the moment when its lease ends, while another job tries to take "
        "the output all the time",
        "complete",
        (),
        "at any moment one job has the output: the woken one ends as always, or writes nothing more and says why; then "
        "the other takes it, keeps what is there, and completes it",
        small=False,
    ),
    "taken": Row(
        "A worker with a driver and a block stands still; another job takes the output with `--overwrite` and other "
        "settings; the worker wakes up, also with a whole file in its hand that only lacks its name",
        "failed",
        ("nothing more is written for job", "other settings"),
        "the woken job writes nothing, and says who has the output; the other job's export is untouched",
        "`resume` of the woken job is refused: the output has other settings",
    ),
    "orphan": Row(
        "A machine stands still with a block; the scheduler is killed, the job resumed elsewhere; then the machine "
        "wakes up, and the read of its block fails",
        "complete",
        ("driver 2 begins on",),
        "what the resumed job has made meanwhile stays",
        small=False,
    ),
    "s3-busy": Row(
        "S3 answers each request with 503, cuts each connection, or loses its answers, for a while",
        "complete",
        (),
        "requests are tried again, then blocks",
    ),
    "s3-away": Row(
        "S3 is away for longer than the lease lasts",
        "complete",
        ("driver 2 begins on",),
        "seen to be lost for a while; when it is back the driver is run again",
        small=False,
    ),
    "slurm": Row(
        "On SLURM: the command `submit` is killed, and then the SLURM job of a worker",
        "complete",
        (),
        "the block, and the driver if it was there, go to another worker; the SLURM job is replaced",
    ),
}


#: Rows whose state and words the test that runs has asserted.
asserted: list[Row] = []
#: The tests that are drills of a row, by the row's name.
TESTS: dict[str, list[str]] = {name: [] for name in ROWS}
_P = ParamSpec("_P")


def drills(name: str) -> Callable[[Callable[_P, None]], Callable[_P, None]]:
    """Marks a test as the drill of a row: it fails where it did not assert the state and the words of that row."""

    def mark(test: Callable[_P, None]) -> Callable[_P, None]:
        @wraps(test)
        def drilled(*given: _P.args, **named: _P.kwargs) -> None:
            asserted.clear()
            test(*given, **named)
            assert ROWS[name] in asserted, f"{test.__name__} is no drill of {name!r}"

        TESTS[name].append(test.__module__)
        return drilled

    return mark


def text() -> str:
    """The table, as Markdown."""
    lines = [
        "| what goes wrong, and when | state | what the user is told | by itself | then |",
        "|---|---|---|---|---|",
    ]
    for row in ROWS.values():
        told = " … ".join(f"“{words}”" for words in row.words)
        form = "" if row.small else " *(full form only)*"
        lines.append(f"| {row.fault}{form} | {row.ends} | {told} | {row.itself} | {row.then} |")
    return "\n".join(lines)


def page(before: str) -> str:
    """The page with the table as it has to be."""
    head, _, rest = before.partition(BEGIN)
    return f"{head}{BEGIN}\n{text()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
