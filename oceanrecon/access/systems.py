"""The file systems behind URLs, with the settings that this work needs: the one place for both."""

from __future__ import annotations

import datetime as dt
import email.utils
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from oceanrecon.access.healing import healed
from oceanrecon.access.passing import real_absence
from oceanrecon.errors import MissingExtraError, how_to_install

#: What brings the drivers of these.
_DRIVERS = {
    "s3": how_to_install("cloud"),
    "s3a": how_to_install("cloud"),
    "http": how_to_install("cloud"),
    "https": how_to_install("cloud"),
    "gs": "pip install gcsfs",
    "gcs": "pip install gcsfs",
    "az": "pip install adlfs",
    "abfs": "pip install adlfs",
    "abfss": "pip install adlfs",
}
#: Their folders are only parts of names: nothing has to be made before a file, and a missing bucket never is.
_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"})


@dataclass(frozen=True)
class FileState:
    """Size of a file, and when it was written last: ns since 1970, 0 where the file system does not tell."""

    bytes: int
    mtime_ns: int


def file_system(url: str) -> tuple[Any, str]:
    """The fsspec file system of a path or URL, and the path in it.

    Raises:
        MissingExtraError: the driver of such URLs is not installed; names what brings it.
    """
    try:
        filesystem, path = fsspec.core.url_to_fs(url, **options(url))
    except ImportError as error:
        scheme = scheme_of(url)
        remedy = _DRIVERS.get(scheme, f"install the fsspec driver of {scheme}://")
        raise MissingExtraError(f"{scheme}:// needs a driver that is not installed ({error}): {remedy}") from error
    return filesystem, str(path)


def options(url: str) -> dict[str, Any]:
    """Settings of the file system of a URL; what the user says in fsspec's own configuration comes first."""
    scheme = scheme_of(url)
    ours: dict[str, Any] = {}
    if scheme in _OBJECT_STORES:
        # other processes write while this one looks: a listing that is kept would tell of the past
        ours["use_listings_cache"] = False
    if scheme in ("s3", "s3a"):
        # Several parts of a file at once cost a question for its size before each file, and a part whose connection is
        # cut is not asked for again; many files are read and written at once anyway.
        ours["max_concurrency"] = 1
        ours["config_kwargs"] = {
            "connect_timeout": 5,
            "read_timeout": 20,
            "max_pool_connections": 32,
            # s3fs tries five times around these, and ``healed`` around that
            "retries": {"mode": "standard", "total_max_attempts": 2},
        }
    if scheme in ("http", "https"):
        import aiohttp

        # the time between two pieces is bounded, not that of a large file; proxies are those of the environment
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=30)
        ours["client_kwargs"] = {"timeout": timeout, "trust_env": True}
    given: Mapping[str, Any] = fsspec.config.conf.get(scheme, {})
    for name, value in given.items():
        if isinstance(value, Mapping) and isinstance(ours.get(name), dict):
            ours[name] = ours[name] | dict(value)
        else:
            ours.pop(name, None)
    return ours


def scheme_of(url: str) -> str:
    """``s3`` of ``s3://bucket/key``; ``file`` of a path."""
    scheme, separator, _ = url.partition("://")
    return scheme if separator else "file"


def is_local(filesystem: Any) -> bool:
    """Whether an fsspec file system is that of this machine."""
    return isinstance(filesystem, LocalFileSystem)


def has_folders(url: str) -> bool:
    """Whether folders have to be made before files are written into them."""
    return scheme_of(url) not in _OBJECT_STORES


def state_of(url: str) -> FileState:
    """Size and time of a file at a path or URL.

    Raises:
        FileNotFoundError: there is none.
        Exception: what the driver raises.
    """
    if "://" not in url:
        state = os.stat(url)
        return FileState(state.st_size, state.st_mtime_ns)
    filesystem, path = file_system(url)
    info = info_of(filesystem, path)
    if info.get("type") == "directory":
        raise FileNotFoundError(f"{url} is a folder")
    if info.get("size") is None:
        raise OSError(f"the server does not tell the size of {url}")
    return FileState(int(info["size"]), mtime_of(info))


def info_of(filesystem: Any, path: str) -> Mapping[str, Any]:
    """What a file system tells of a file.

    Raises:
        FileNotFoundError: there is none.
        Exception: what the driver raises.
    """

    def ask() -> Mapping[str, Any]:
        try:
            info: Mapping[str, Any] = filesystem.info(path)
            return info
        except FileNotFoundError as error:
            if isinstance(cause := error.__cause__, Exception) and not real_absence(error):
                raise cause from None
            raise

    return healed(ask)


def mtime_of(info: Mapping[str, Any]) -> int:
    """Modification time in ns from whatever a file system calls it; 0 where it tells none."""
    for key in ("mtime", "LastModified", "last_modified", "Last-Modified", "updated", "created"):
        value = info.get(key)
        if isinstance(value, str):
            value = _parsed(value)
        if isinstance(value, dt.datetime):
            moment = value if value.tzinfo is not None else value.replace(tzinfo=dt.UTC)
            since = moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
            return (since.days * 86400 + since.seconds) * 10**9 + since.microseconds * 1000
        if isinstance(value, int | float):
            return round(value * 1e9)
    return 0


def _parsed(text: str) -> dt.datetime | None:
    """A time as HTTP writes it, or as ISO 8601 does."""
    for parse in (dt.datetime.fromisoformat, email.utils.parsedate_to_datetime):
        try:
            return parse(text)
        except ValueError:
            continue
    return None
