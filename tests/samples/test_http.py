"""Risk: an export that is put on a web server as it is cannot be read from there: no listing, ranges of bytes only."""

from __future__ import annotations

import functools
import http.server
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oceanrecon.errors import OutputError
from oceanrecon.grid import PatchGrid, RasterGrid
from oceanrecon.samples.export import ExportSource
from oceanrecon.samples.rows import every_row
from oceanrecon.samples.stored import Store
from tests.archives import copied

ROWS = every_row(
    PatchGrid(RasterGrid.from_bounds(3.0, (-180, -90, 180, 90)), 20, 15, "regular", periodic=True), (20120222, 20120307)
)


class RangeServer(http.server.SimpleHTTPRequestHandler):
    """Serves files, whole or a range (``bytes=first-last``, ``bytes=first-``, ``bytes=-count``); and no folder."""

    #: paths of which a range was sent
    ranges: list[str]
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def list_directory(self, path: Any) -> None:
        self.send_error(403)

    def do_GET(self) -> None:
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if asked is None or not path.is_file():
            super().do_GET()
            return
        data = path.read_bytes()
        first, last = len(data) - int(asked[2] or 0), len(data) - 1
        if asked[1]:
            first, last = int(asked[1]), min(int(asked[2] or last), last)
        self.ranges.append(self.path)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        self.wfile.write(data[first : last + 1])


class Whole(RangeServer):
    """Knows no ranges, as ``python -m http.server`` does not."""

    def do_GET(self) -> None:
        del self.headers["Range"]
        super().do_GET()


@contextmanager
def serving(folder: Path, handler: type[RangeServer]) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder))) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def served(with_profiles: dict[str, Path], tmp_path: Path) -> Iterator[tuple[str, Path, list[str]]]:
    """An export on a server: its address, its folder, and of what ranges were asked for."""
    export = copied(with_profiles["uint16"], tmp_path / "export")
    ranges: list[str] = []
    handler = type("Handler", (RangeServer,), {"ranges": ranges})
    with serving(tmp_path, handler) as url:
        yield f"{url}/export", export, ranges


def test_a_server_without_ranges_is_no_damage(with_profiles: dict[str, Path]) -> None:
    with serving(with_profiles["uint16"], Whole) as url:
        source = ExportSource(url, ROWS, scenario="joint")
        with pytest.raises(
            OutputError, match=rf"row 0 .*{url}/dense.zarr/.* the server knows no ranges of bytes; copy"
        ):
            source.samples([0])


@pytest.mark.parametrize("store", ["zarr", "geotiff"])
def test_samples_over_http_are_those_of_the_folder(served: tuple[str, Path, list[str]], store: Store) -> None:
    url, folder, ranges = served
    here, there = (
        ExportSource(where, ROWS, scenario="joint", store=store, withhold=["6901929"]) for where in (str(folder), url)
    )
    some = [0, 7, 30, 31]
    profiles = 0
    for one, other in zip(here.samples(some), there.samples(some), strict=True):
        for name in ("temperature", "salinity"):
            np.testing.assert_array_equal(one.target[name], other.target[name])
            np.testing.assert_array_equal(one.observed[name], other.observed[name])
        for name in ("surface", "land", "points"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        profiles += one.points.size
    assert profiles > 3
    dense = "/export/dense.zarr/thetao/c/0/" if store == "zarr" else "/export/rasters/glorys/thetao/"
    assert any(path.startswith(dense) for path in ranges)


@pytest.mark.parametrize("store", ["zarr", "geotiff"])
def test_a_file_that_the_server_has_no_more_is_named(served: tuple[str, Path, list[str]], store: Store) -> None:
    url, folder, _ = served
    name = "dense.zarr/so/c/2/0/0/0" if store == "zarr" else "rasters/glorys/so/so_20120307.tif"
    source = ExportSource(url, ROWS, scenario="joint", store=store)
    (folder / name).unlink()
    row = len(ROWS) // 2
    with pytest.raises(OutputError, match=rf"row {row} \(patch 0, 20120307\): {url}/{name} .*export --resume"):
        source.samples([0, row])
