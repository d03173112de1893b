"""What the tests of the cloud share: a proxy before the S3 server, and the tiny archive in a bucket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pytest
from distributed import Client

from oceanrecon.access import healing
from tests.archives import PRODUCTS
from tests.pipeline.profiles.tiny import threads
from tests.s3 import Proxy, Server, environment


@dataclass(frozen=True)
class Cloud:
    """A bucket behind a proxy; the environment names the proxy."""

    proxy: Proxy
    #: of the bucket
    url: str

    def upload(self, folder: Path, name: str) -> str:
        """Put a folder into the bucket; its URL."""
        files = fsspec.filesystem("s3")
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                files.pipe_file(f"{self.url}/{name}/{path.relative_to(folder).as_posix()}", path.read_bytes())
        return f"{self.url}/{name}"

    def content(self, name: str, *folders: str) -> dict[str, bytes]:
        """Content of every file below some folders of ``name``, by relative path; see ``archives.files_of``."""
        files = fsspec.filesystem("s3", use_listings_cache=False)
        base = f"{self.url}/{name}".removeprefix("s3://")
        found = {path.removeprefix(f"{base}/"): path for path in files.find(base)}
        return {rel: files.cat_file(path) for rel, path in found.items() if not folders or rel.startswith(folders)}

    def archive(self, **more: Any) -> dict[str, Any]:
        """The ``archive`` settings of the archive in the bucket."""
        return {"root": f"{self.url}/archive", "products": dict.fromkeys(PRODUCTS)} | more


@pytest.fixture
def cloud(s3: Server) -> Iterator[Cloud]:
    """A new bucket behind a proxy of its own."""
    with Proxy(s3.endpoint) as proxy, environment(proxy.endpoint):
        yield Cloud(proxy, s3.new_bucket())


class _Hasty:
    """``asyncio`` whose sleep is short."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.005))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Further tries come at once, ours and those of the drivers."""
    monkeypatch.setattr(healing, "WAITS", [0.01, 0.02])
    for name in ("s3fs.core", "aiobotocore.endpoint"):
        monkeypatch.setattr(f"{name}.asyncio", _Hasty())


@pytest.fixture
def inside() -> Iterator[Client]:
    """A worker in this process."""
    with threads(1) as client:
        yield client
