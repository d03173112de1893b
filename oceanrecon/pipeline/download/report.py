"""The log and the report of a download, both written while it goes: a run that is killed has said what it did."""

from __future__ import annotations

import datetime as dt
import json
import os
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from oceanrecon.errors import OutputError
from oceanrecon.pipeline.download.attempts import writing
from oceanrecon.pipeline.download.redact import Redactor
from oceanrecon.pipeline.download.remote import Outcome

#: Folder below that of the raw files.
LOGS = "logs"
#: The report is written again when so many times as long has passed as that takes: of many files it gets long.
_SHARE = 20.0


class Entry:
    """A stream in a span of days, in the report: what has come of it so far."""

    def __init__(self, report: Report, entry: dict[str, Any], missing: Sequence[dt.date]) -> None:
        self._report, self._entry, self._missing = report, entry, missing
        self._started = time.monotonic()

    def add(self, outcome: Outcome) -> None:
        """A file more."""
        entry = self._entry
        entry["files"].append(
            {
                "path": outcome.target,
                "status": outcome.status,
                "bytes": outcome.bytes,
                "sha256": outcome.sha256,
                "seconds": round(outcome.seconds, 3),
            }
        )
        entry["details"][outcome.status] += 1
        if outcome.status in ("fetched", "made"):
            entry["bytes"] += outcome.bytes
        entry["seconds"] = round(time.monotonic() - self._started, 3)
        self._report.say(f"{outcome.status} {outcome.target} {outcome.bytes} bytes {outcome.sha256}".rstrip())
        if outcome.error is not None:
            self._report.problem(entry["dataset"], outcome.error, outcome.target)
        self._report.save()

    def end(self) -> None:
        """All files of it are added."""
        counts = self._entry["details"]
        came, failed = counts["fetched"] + counts["made"], counts["failed"]
        if failed and not came and not counts["kept"]:
            status = "failed"
        elif failed or (self._missing and (came or counts["kept"])):
            status = "partial"
        else:
            status = "success" if came else "skipped"
        self._entry["status"] = status
        self._report.save(whole=True)


class Report:
    """``logs/download_log_<time>.log`` and ``logs/download_report_<time>.json``."""

    def __init__(self, folder: Path, redact: Redactor) -> None:
        """Below a folder of raw files."""
        self._redact = redact
        self._downloads: list[dict[str, Any]] = []
        self._errors: list[dict[str, Any]] = []
        self._started = time.monotonic()
        self._wrote = self._took = 0.0
        logs = folder / LOGS
        stamp = f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S_%f}"
        self.path = logs / f"download_report_{stamp}.json"
        with writing(logs):
            logs.mkdir(parents=True, exist_ok=True)
            self._log = open(logs / f"download_log_{stamp}.log", "a", encoding="utf-8", buffering=1)

    def close(self) -> None:
        """Write what can be of it, also when an error ends the run: that one is to be seen, and none of this."""
        with suppress(OSError, OutputError):
            self.save(whole=True)
        with suppress(OSError):
            self._log.close()

    def say(self, text: str) -> None:
        """A line of the log.

        Raises:
            OutputError: it cannot be written.
        """
        with writing(self.path.parent):
            self._log.write(f"{_now()} {self._redact(text)}\n")

    def problem(self, dataset: str, error: Exception, context: str) -> None:
        """An error, of a file or of a stream."""
        message = self._redact(str(error))
        self._errors.append(
            {
                "timestamp": _now(),
                "dataset": dataset,
                "error_type": type(error).__name__,
                "error_message": message,
                "traceback": self._redact("".join(traceback.format_exception(error))),
                "context": self._redact(context),
            }
        )
        self.say(f"error {context}: {type(error).__name__}: {message}")

    def failed(self, dataset: str, first: dt.date, last: dt.date, error: Exception) -> None:
        """A stream that could not be listed."""
        self.problem(dataset, error, f"list the files of {dataset}")
        self._entry(dataset, first, last, ())["status"] = "failed"
        self.save()

    def begin(self, dataset: str, first: dt.date, last: dt.date, missing: Sequence[dt.date]) -> Entry:
        """A stream in a span of days; ``missing`` are those of which the source has nothing, or not all."""
        return Entry(self, self._entry(dataset, first, last, missing), missing)

    def save(self, *, whole: bool = False) -> None:
        """Write the report, atomically; not ``whole``: unless that would take too much of the time.

        Raises:
            OutputError: it cannot be written.
        """
        began = time.monotonic()
        if not whole and began - self._wrote < _SHARE * self._took:
            return
        temporary = self.path.with_suffix(".part")
        content = {"downloads": self._downloads, "errors": self._errors, "summary": self.summary()}
        with writing(self.path):
            with open(temporary, "w", encoding="utf-8") as file:
                json.dump(content, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
        self._wrote = time.monotonic()
        self._took = self._wrote - began

    def summary(self) -> dict[str, Any]:
        """Counts of what is in the report so far."""
        statuses = [entry["status"] for entry in self._downloads]
        datasets: dict[str, dict[str, int]] = {}
        for entry in self._downloads:
            counts = datasets.setdefault(entry["dataset"], {"attempts": 0, "success": 0, "failed": 0})
            counts["attempts"] += 1
            counts["success"] += entry["status"] in ("success", "skipped")
            counts["failed"] += entry["status"] == "failed"
        return {
            "total_attempts": len(statuses),
            "successful": statuses.count("success"),
            "partial": statuses.count("partial"),
            "failed": statuses.count("failed"),
            "skipped": statuses.count("skipped"),
            "total_errors": len(self._errors),
            "bytes": sum(entry["bytes"] for entry in self._downloads),
            "seconds": round(time.monotonic() - self._started, 3),
            "datasets": datasets,
        }

    def _entry(self, dataset: str, first: dt.date, last: dt.date, missing: Sequence[dt.date]) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "timestamp": _now(),
            "dataset": dataset,
            "date_min": first.isoformat(),
            "date_max": last.isoformat(),
            # until it is over, also where the run is killed
            "status": "partial",
            "details": {
                "fetched": 0, "made": 0, "kept": 0, "failed": 0,
                "missing_days": [day.isoformat() for day in missing],
            },
            "bytes": 0,
            "seconds": 0.0,
            "files": [],
        }  # fmt: skip
        self._downloads.append(entry)
        return entry


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
