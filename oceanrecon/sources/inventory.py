"""The inventory of an archive: one row per file and day, scanned once, with what is wrong as a column.

Nothing about a file stops a scan: a file that cannot be used is a row whose ``problem`` says why and what to do.
Paths are relative to the root, which is stored once. A rescan opens only files whose size or time have changed.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fnmatch
import functools
import hashlib
import json
import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from oceanrecon.access.healing import healed
from oceanrecon.access.passing import told
from oceanrecon.access.paths import joined
from oceanrecon.access.ranges import read_whole
from oceanrecon.access.systems import file_system, is_local
from oceanrecon.errors import ArchiveError, OceanreconError, OutputError, SourceError
from oceanrecon.grid.axis import Axis
from oceanrecon.sources.agreement import compare, forget_comparisons
from oceanrecon.sources.header import Header, read_header
from oceanrecon.sources.listing import absolute_root, list_files
from oceanrecon.sources.profile_file import is_profile_name
from oceanrecon.sources.registry import PRODUCTS, product

#: Columns of an inventory and their types.
COLUMNS: dict[str, str] = {
    "product": "str",
    "date": "datetime64[us]",
    "time_index": "int64",
    "revision": "datetime64[us]",
    "path": "str",
    "bytes": "int64",
    "mtime_ns": "int64",
    "grid_hash": "str",
    "depth_hash": "str",
    "latitude": "str",
    "longitude": "str",
    "depth": "str",
    "variables": "str",
    "problem": "str",
    "note": "str",
}
#: Name of the inventory of a folder of references.
INVENTORY = "inventory.parquet"
#: Key of the Parquet metadata that holds the root, and the version of the columns.
_METADATA = b"oceanrecon"
_FORMAT = 1
#: Files per task: 0.2 s of work, so that a cluster is kept busy and a scheduler is not.
_BATCH = 64
#: Date at the end of a name, believed only where the configuration says which product the file is.
_LAST_DATE = r"(?:.*[^0-9])?(?P<date>\d{8})\.[A-Za-z0-9]+"


@dataclass(frozen=True)
class ProductFiles:
    """Which files are a product, where their names do not say it: ``files`` (a glob) below ``path``."""

    #: folder relative to the root; empty: the root itself
    path: str = ""
    #: glob for the file name, or, when it has a slash, for the path below ``path``
    files: str = "*.nc"


@dataclass(frozen=True)
class FoundFile:
    """A file to scan, as listed; ``product`` is empty where nothing says what it is."""

    path: str
    bytes: int
    mtime_ns: int
    product: str = ""
    #: the configuration names the product, the file name need not
    given: bool = False


def scan(
    root_url: str,
    products: Mapping[str, ProductFiles | None] | None = None,
    previous: pd.DataFrame | None = None,
    map_function: Callable[..., Iterable[list[dict[str, Any]]]] = map,
) -> pd.DataFrame:
    """Scan the tree below ``root_url`` (a path or fsspec URL).

    Args:
        root_url: the archive's root.
        products: the products to take, each recognised by its file names (``None``) or by what is given for it;
            ``None`` takes every known product, and files that are none of them become rows with a problem.
        previous: an earlier inventory of the same root; files of the same size and time are not opened again.
        map_function: like ``map``; a cluster's may run the batches elsewhere. It must keep the order.

    Returns:
        One row per file and time index, sorted by product, date, path and time index, with ``COLUMNS``; the root is in
        ``attrs["root"]``.

    Raises:
        ArchiveError: the root or a folder given for a product does not exist, or nothing matches what was given.
        ConfigError: an unknown product.
    """
    try:
        found = _select(root_url, products)
    except OceanreconError:
        raise
    except Exception as error:  # remote drivers raise classes of their own, and ImportError where there is none
        why = told(error)
        if root_url.startswith("http"):
            why += "; of a web server, make the inventory where the files lie, and name it in archive.inventory"
        raise ArchiveError(f"{root_url} cannot be listed: {why}") from error
    known = _reusable(previous)
    rows: list[dict[str, Any]] = []
    fresh: list[FoundFile] = []
    for file in found:
        stored = known.get((file.product, file.path, file.bytes, file.mtime_ns))
        if stored is None:
            fresh.append(file)
        else:
            rows.extend(stored)
    batches = [fresh[start : start + _BATCH] for start in range(0, len(fresh), _BATCH)]
    for scanned in map_function(functools.partial(scan_files, root_url), batches):
        rows.extend(scanned)
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)
    frame = frame.sort_values(["product", "date", "path", "time_index"], ignore_index=True)
    frame = compare(frame)
    frame.attrs["root"] = absolute_root(root_url)
    return frame


def restrict(inventory: pd.DataFrame, products: Mapping[str, ProductFiles | None]) -> pd.DataFrame:
    """The rows of an inventory that ``scan`` would give for these products: those under their path and glob."""
    keep = np.zeros(len(inventory), dtype=bool)
    for name, given in products.items():
        rows = (inventory["product"] == name).to_numpy()
        if given is not None:
            folder = _folder(given)
            rows = rows & np.array([_matches(path, folder, given.files) for path in inventory["path"]], dtype=bool)
        keep |= rows
    return inventory[keep]


def moved(inventory: pd.DataFrame, root: str) -> pd.DataFrame:
    """The inventory for use at ``root``, which may be a remote copy of the archive that it was made of.

    Its times say nothing of copies, which are told from other files by their sizes.
    """
    return inventory.assign(mtime_ns=0) if "://" in root and inventory.attrs.get("root", root) != root else inventory


def _folder(given: ProductFiles) -> str:
    return str(PurePosixPath(given.path)) if given.path not in ("", ".") else ""


def _matches(path: str, folder: str, files: str) -> bool:
    if folder and not path.startswith(f"{folder}/"):
        return False
    below = path.removeprefix(f"{folder}/")
    return fnmatch.fnmatchcase(below if "/" in files else path.rsplit("/", 1)[-1], files)


def scan_files(root_url: str, files: Sequence[FoundFile]) -> list[dict[str, Any]]:
    """The rows of some files; picklable, for a cluster."""
    root = absolute_root(root_url)
    rows: list[dict[str, Any]] = []
    for file in files:
        named = _date_in_name(file)
        try:
            if not file.product:
                raise SourceError(
                    "no product has files of this name: give the product and its files in the configuration"
                )
            size = file.bytes or None  # where nothing is told, or there is nothing
            header = read_header(joined(root, file.path, SourceError), product(file.product), size)
        except SourceError as error:
            rows.append(_row(file, named, 0, named[0] or _last_date(file), str(error)))
            continue
        rows.extend(_rows(file, named, header))
    return rows


def write_parquet(inventory: pd.DataFrame, url: str) -> None:
    """Write an inventory and the root of its paths to a Parquet file (a path or fsspec URL), whole or not at all.

    With ``attrs["references"]`` it says that references lie beside it.
    """
    plain = inventory.copy(deep=False)
    plain.attrs = {}  # pandas would store the root a second time
    table = pa.Table.from_pandas(plain, preserve_index=False)
    beside = {"references": True} if inventory.attrs.get("references") else {}
    stated = json.dumps({"format": _FORMAT, "root": inventory.attrs["root"], **beside})
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), _METADATA: stated.encode()})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    filesystem, path = file_system(url)
    if is_local(filesystem):
        partial = f"{path}.{uuid.uuid4().hex}.partial"
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(partial, "wb") as stream:
                stream.write(sink.getvalue())
            os.replace(partial, path)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(partial)
            raise OutputError(
                f"the inventory cannot be written to {path}: {error}; free space or give --output"
            ) from error
    else:
        content = sink.getvalue().to_pybytes()
        try:
            healed(lambda: filesystem.pipe_file(path, content))
        except Exception as error:  # remote drivers raise classes of their own
            raise OutputError(f"the inventory cannot be written to {url}: {told(error)}") from error


def read_parquet(url: str) -> pd.DataFrame:
    """An inventory from ``write_parquet``; the root of its paths is in ``attrs["root"]``.

    It may be one with references, whose folder is enough as ``url``; it is in ``attrs["references"]``, else "".

    Raises:
        ArchiveError: there is no such file, or it is not an inventory of this version.
    """
    try:
        table = pq.read_table(pa.BufferReader(_content(url)))
    except FileNotFoundError:
        raise ArchiveError(f"there is no inventory at {url}: make it with `oceanrecon inventory`") from None
    except (OSError, ValueError) as error:
        raise ArchiveError(f"{url} cannot be read as an inventory ({error}): scan the archive again") from error
    stated = json.loads((table.schema.metadata or {}).get(_METADATA, b"{}"))
    if stated.get("format") != _FORMAT:
        raise ArchiveError(f"{url} is not an inventory of this version: scan the archive again")
    inventory: pd.DataFrame = table.to_pandas().astype(COLUMNS)
    inventory.attrs["root"] = str(stated["root"])
    folder = absolute_root(url).removesuffix(f"/{INVENTORY}")  # workers may have another working directory
    inventory.attrs["references"] = folder if stated.get("references") else ""
    return inventory


def _content(url: str) -> bytes:
    if not url.endswith(".parquet"):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return read_whole(f"{url.rstrip('/')}/{INVENTORY}")
    return read_whole(url)


def _select(root_url: str, products: Mapping[str, ProductFiles | None] | None) -> list[FoundFile]:
    """The files to scan: those given for a product, then those that their names show."""
    chosen: list[FoundFile] = []
    by_name = [product(name).name for name in PRODUCTS] if products is None else []
    for name, given in (products or {}).items():
        product(name)
        if given is None:
            by_name.append(name)
            continue
        folder = _folder(given)
        below = [found for found in list_files(root_url, folder) if _matches(found[0], folder, given.files)]
        if not below:
            raise ArchiveError(
                f"product {name!r}: no file below {root_url}/{folder} matches {given.files!r}: "
                "correct its path or files"
            )
        chosen.extend(FoundFile(path, size, mtime, name, True) for path, size, mtime in below)
    if by_name:
        taken = {file.path for file in chosen}
        for path, size, mtime in list_files(root_url):
            file_name = path.rsplit("/", 1)[-1]
            if not file_name.endswith(".nc") or path in taken:
                continue
            owner = next((name for name, item in PRODUCTS.items() if item.date_of(file_name) is not None), "")
            if not owner and is_profile_name(file_name):
                continue  # profiles may lie beside the fields and are no part of an inventory of these
            if owner in by_name or not owner:
                chosen.append(FoundFile(path, size, mtime, owner))
    return sorted(chosen, key=lambda file: (file.path, file.product))


def _date_in_name(file: FoundFile) -> tuple[dt.date | None, dt.date | None]:
    """Date and revision in a name that follows the product's rule, or has such a name in it."""
    name = file.path.rsplit("/", 1)[-1]
    return (product(file.product).date_of(name, inside=file.given) if file.product else None) or (None, None)


def _last_date(file: FoundFile) -> dt.date | None:
    """The last date in the name of a file that the settings give to a product: believed where nothing else is."""
    match = re.fullmatch(_LAST_DATE, file.path.rsplit("/", 1)[-1]) if file.given else None
    try:
        return dt.datetime.strptime(match["date"], "%Y%m%d").date() if match else None
    except ValueError:
        return None


def _rows(file: FoundFile, named: tuple[dt.date | None, dt.date | None], header: Header) -> Iterator[dict[str, Any]]:
    """The rows of a file that was read: one per time index."""
    in_name = named[0] or (_last_date(file) if header.no_times else None)
    stated = [moment.date() for moment in header.times if moment is not None]
    disagrees = ""
    if in_name is not None and stated and min(abs((date - in_name).days) for date in stated) > 1:
        disagrees = f"the name says {in_name} and the time coordinate {stated[0]}: rename the file or correct its times"
    for index, moment in enumerate(header.times):
        date, problem, notes = None, disagrees, list(header.notes)
        if header.no_times and len(header.times) == 1 and in_name is not None:
            date = in_name
            notes.append(f"dated by its name: {header.no_times}")
        elif header.no_times:
            problem = f"undated: {header.no_times}, and the name of the file gives no date: write a CF time coordinate"
            if in_name is not None:
                problem = f"undated: {header.no_times}, and there are {len(header.times)} times: write them"
        elif moment is None:
            problem = f"undated: time value {index} is missing: write the time coordinate"
        elif len(header.times) == 1 and in_name is not None:
            date = in_name
            if moment.date() != in_name and not problem:
                notes.append(f"dated by its name: the time coordinate says {moment:%Y-%m-%d %H:%M}")
        else:
            date = moment.date()
            notes.append("dated by its time coordinate")
        yield _row(file, named, index, date, problem, header, notes)


def _row(
    file: FoundFile,
    named: tuple[dt.date | None, dt.date | None],
    index: int,
    date: dt.date | None,
    problem: str,
    header: Header | None = None,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """One row; a file without a header has empty texts for what it would say."""
    return {
        "product": file.product,
        "date": date,
        "time_index": index,
        "revision": named[1],
        "path": file.path,
        "bytes": file.bytes,
        "mtime_ns": file.mtime_ns,
        "grid_hash": grid_hash(header.latitude, header.longitude) if header else "",
        "depth_hash": depth_hash(header.depth) if header and header.depth else "",
        "latitude": json.dumps(header.latitude.to_dict()) if header else "",
        "longitude": json.dumps(header.longitude.to_dict()) if header else "",
        "depth": json.dumps(header.depth) if header else "",
        "variables": json.dumps({name: item.to_dict() for name, item in header.variables.items()}) if header else "",
        "problem": problem,
        "note": "; ".join(notes),
    }


def grid_hash(latitude: Axis, longitude: Axis) -> str:
    """16 hexadecimal digits; equal for axes that differ only by the rounding of their files."""
    described = [f"{axis.first:.4f} {axis.step:.6f} {axis.size} {axis.period}" for axis in (latitude, longitude)]
    return hashlib.sha256(" ".join(described).encode()).hexdigest()[:16]


def depth_hash(depth: Sequence[float]) -> str:
    """16 hexadecimal digits of a depth axis (metres), as float32."""
    return hashlib.sha256(np.asarray(depth, dtype="<f4").tobytes()).hexdigest()[:16]


def _reusable(previous: pd.DataFrame | None) -> dict[tuple[str, str, int, int], list[dict[str, Any]]]:
    """Rows of an earlier inventory by what must be unchanged, without what depends on the other files."""
    known: dict[tuple[str, str, int, int], list[dict[str, Any]]] = {}
    if previous is not None:
        for row in forget_comparisons(previous).to_dict("records"):
            record = {str(column): value for column, value in row.items()}
            known.setdefault((row["product"], row["path"], row["bytes"], row["mtime_ns"]), []).append(record)
    return known
