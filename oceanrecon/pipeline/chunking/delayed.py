"""A file system that counts what is asked of another, and takes longer for it: a far store, measured at home.

``delayed://30,80/s3://bucket/x`` is ``s3://bucket/x`` with 30 ms added to each request, of which each brings 80 MB/s at
most; ``delayed://0,inf/file:///x`` only counts. Requests that are made together wait together, as over a network.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from math import inf
from typing import Any

import fsspec
from fsspec.asyn import AsyncFileSystem

from oceanrecon.access.systems import options

PROTOCOL = "delayed"


@dataclass
class Traffic:
    """What was asked so far, by this process."""

    requests: int = 0
    bytes: int = 0


#: One for all of these file systems: a worker measures one thing at a time.
TRAFFIC = Traffic()


def delayed_url(url: str, latency_ms: float, megabytes_per_second: float = inf) -> str:
    """The URL under which each request takes longer; a local folder may be given by its path."""
    full = url if "://" in url else f"file://{url}"
    return f"{PROTOCOL}://{latency_ms:g},{megabytes_per_second:g}/{full}"


class DelayedFileSystem(AsyncFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Another file system, counted and delayed; whole files are read, written and removed, ranges are read."""

    protocol = PROTOCOL

    def __init__(
        self,
        latency_ms: float = 0.0,
        megabytes_per_second: float = inf,
        target_protocol: str = "file",
        **more: Any,
    ) -> None:
        """Over the file system of ``target_protocol``, with the settings that it has elsewhere."""
        super().__init__(**more)
        self._seconds, self._rate = latency_ms / 1e3, megabytes_per_second * 1e6
        if target_protocol == "file":
            own: dict[str, Any] = {"auto_mkdir": True}  # object stores have no folders to be made first
        else:
            own = options(f"{target_protocol}://") | {"asynchronous": self.asynchronous}
        self._target: Any = fsspec.filesystem(target_protocol, **own)

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        if not str(path).startswith(f"{PROTOCOL}://"):
            return path
        inner = str(path).removeprefix(f"{PROTOCOL}://").partition("/")[2]
        return fsspec.get_filesystem_class(inner.partition("://")[0])._strip_protocol(inner)

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, Any]:
        numbers, _, inner = path.removeprefix(f"{PROTOCOL}://").partition("/")
        latency, rate = map(float, numbers.split(","))
        return {"latency_ms": latency, "megabytes_per_second": rate, "target_protocol": inner.partition("://")[0]}

    async def _asked(self) -> None:
        TRAFFIC.requests += 1
        await asyncio.sleep(self._seconds)

    async def _moved(self, size: int) -> None:
        TRAFFIC.bytes += size
        await asyncio.sleep(size / self._rate)

    async def _call(self, name: str, *arguments: Any, **more: Any) -> Any:
        if self._target.async_impl:
            return await getattr(self._target, f"_{name}")(*arguments, **more)
        return getattr(self._target, name)(*arguments, **more)

    async def _cat_file(self, path: str, start: int | None = None, end: int | None = None, **more: Any) -> bytes:
        await self._asked()
        data: bytes = await self._call("cat_file", self._strip_protocol(path), start=start, end=end)
        await self._moved(len(data))
        return data

    async def _pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **more: Any) -> None:
        await self._asked()
        await self._call("pipe_file", self._strip_protocol(path), value)
        await self._moved(len(value))

    async def _rm_file(self, path: str, **more: Any) -> None:
        await self._asked()
        await self._call("rm_file", self._strip_protocol(path))

    async def _info(self, path: str, **more: Any) -> Any:
        await self._asked()
        return await self._call("info", self._strip_protocol(path))

    async def _ls(self, path: str, detail: bool = True, **more: Any) -> Any:
        await self._asked()
        return await self._call("ls", self._strip_protocol(path), detail=detail)


fsspec.register_implementation(PROTOCOL, DelayedFileSystem, clobber=True)
