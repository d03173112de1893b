"""Receipts: one small JSON file per finished block, the only record of what an export holds; and its failures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from oceanrecon.stores.files import Root

SCHEMA_VERSION = 1
FileRole = Literal["geotiff", "zarr", "days"]
_ROLES: tuple[FileRole, ...] = ("geotiff", "zarr", "days")


@dataclass(frozen=True)
class WrittenFile:
    """A file of a block; ``path`` is relative to the export's root."""

    path: str
    bytes: int
    sha256: str
    role: FileRole


@dataclass(frozen=True)
class SourceUsed:
    """One time of one source file that went into a block; ``path`` is relative to the archive's root."""

    path: str
    #: YYYYMMDD
    date: str
    time_index: int
    bytes: int
    mtime_ns: int
    #: YYYYMMDD, where the file name has one
    revision: str | None


@dataclass(frozen=True)
class BandStatistics:
    """Counts of pixels, and the range and mean of the values that the codes stand for (``None``: all are missing)."""

    valid_count: int
    nodata_count: int
    clipped_low_count: int
    clipped_high_count: int
    minimum: float | None
    maximum: float | None
    mean: float | None

    def counts(self) -> dict[str, int]:
        """The four counters, under their names in tags and manifest."""
        return {
            "valid_count": self.valid_count,
            "nodata_count": self.nodata_count,
            "clipped_low_count": self.clipped_low_count,
            "clipped_high_count": self.clipped_high_count,
        }


def total_statistics(bands: Sequence[BandStatistics]) -> BandStatistics:
    """The statistics of all bands together; the mean is weighted by the number of valid pixels."""
    filled = [(band.valid_count, band.minimum, band.maximum, band.mean) for band in bands]
    known = [
        (n, low, high, mean)
        for n, low, high, mean in filled
        if n and low is not None and high is not None and mean is not None
    ]
    valid = sum(n for n, *_ in known)
    return BandStatistics(
        valid_count=sum(band.valid_count for band in bands),
        nodata_count=sum(band.nodata_count for band in bands),
        clipped_low_count=sum(band.clipped_low_count for band in bands),
        clipped_high_count=sum(band.clipped_high_count for band in bands),
        minimum=min((low for _, low, _, _ in known), default=None),
        maximum=max((high for _, _, high, _ in known), default=None),
        mean=sum(n * mean for n, _, _, mean in known) / valid if valid else None,
    )


@dataclass(frozen=True)
class Receipt:
    """What one block ``(variable, date)`` wrote, from what, and how."""

    product: str
    variable: str
    #: the target, YYYYMMDD
    date: str
    #: sha256 of everything that decides the bytes; a block with another key is made again
    key: str
    files: tuple[WrittenFile, ...]
    sources: tuple[SourceUsed, ...]
    #: one per band
    statistics: tuple[BandStatistics, ...]
    #: dates whose values are in the block, YYYYMMDD, ascending
    days_used: tuple[str, ...]
    #: days between the target and the file taken for it (products that are not averaged over the window)
    target_distance_days: int
    warnings: tuple[str, ...]
    #: seconds, by stage
    timing: Mapping[str, float]
    versions: Mapping[str, str]
    #: how this block's source grid became the target grid, such as ``bilinear``
    regridding: str = ""

    def file(self, role: FileRole) -> WrittenFile | None:
        """The file with this role, if the block has one."""
        return next((file for file in self.files if file.role == role), None)


@dataclass(frozen=True)
class Failure:
    """Why a block is missing."""

    product: str
    variable: str
    #: YYYYMMDD
    date: str
    #: the error's class
    error: str
    message: str


@dataclass(frozen=True)
class ReceiptBook:
    """All receipts of an export, sorted by product, variable and date, and the paths of those that cannot be read."""

    receipts: tuple[Receipt, ...]
    unreadable: tuple[str, ...] = field(default=())


def receipt_path(variable: str, date: str) -> str:
    """Where the receipt of a block is, relative to the export's root; ``date`` is YYYYMMDD."""
    return f"receipts/{variable}/{variable}_{date}.json"


def failure_path(variable: str, date: str) -> str:
    """Where the failure of a block is, relative to the export's root; ``date`` is YYYYMMDD."""
    return f"failures/{variable}/{variable}_{date}.json"


def write_receipt(root: Root, receipt: Receipt) -> None:
    """Record a finished block, and forget that it ever failed."""
    root.write(receipt_path(receipt.variable, receipt.date), _to_json(asdict(receipt)))
    root.remove(failure_path(receipt.variable, receipt.date))


def read_receipts(root: Root) -> ReceiptBook:
    """All receipts under ``root``; a damaged one counts as absent, so that its block is made again."""
    receipts: list[Receipt] = []
    unreadable: list[str] = []
    for path, data in _read_all(root, "receipts"):
        try:
            receipts.append(_receipt(json.loads(data)))
        except (ValueError, TypeError, KeyError):
            unreadable.append(path)
    receipts.sort(key=lambda receipt: (receipt.product, receipt.variable, receipt.date))
    return ReceiptBook(tuple(receipts), tuple(unreadable))


def write_failure(root: Root, failure: Failure) -> None:
    """Record that a block could not be made."""
    root.write(failure_path(failure.variable, failure.date), _to_json(asdict(failure)))


def read_failures(root: Root) -> list[Failure]:
    """All recorded failures, sorted by product, variable and date; damaged ones are left out."""
    failures: list[Failure] = []
    for _, data in _read_all(root, "failures"):
        try:
            failures.append(Failure(**_without_version(json.loads(data))))
        except (ValueError, TypeError, KeyError):
            continue
    return sorted(failures, key=lambda failure: (failure.product, failure.variable, failure.date))


def _read_all(root: Root, folder: str) -> Iterable[tuple[str, bytes]]:
    return root.read_many([path for path in root.list(folder) if path.endswith(".json")]).items()


def _to_json(values: dict[str, Any]) -> bytes:
    content = {"schema_version": SCHEMA_VERSION, **values}
    return (json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def _without_version(values: Any) -> dict[str, Any]:
    if not isinstance(values, dict) or values.pop("schema_version") != SCHEMA_VERSION:
        raise ValueError("written by another version")
    return values


def _receipt(content: Any) -> Receipt:
    values = _without_version(content)
    files = tuple(WrittenFile(**item) for item in values.pop("files"))
    if any(file.role not in _ROLES for file in files):
        raise ValueError("unknown role")
    return Receipt(
        files=files,
        sources=tuple(SourceUsed(**item) for item in values.pop("sources")),
        statistics=tuple(BandStatistics(**item) for item in values.pop("statistics")),
        days_used=tuple(values.pop("days_used")),
        warnings=tuple(values.pop("warnings")),
        **values,
    )
