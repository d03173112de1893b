"""Reads windows of many GeoTIFFs, which stay open: for loaders."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window

from oceanrecon.access.ranges import RangeFile
from oceanrecon.errors import OutputError
from oceanrecon.stores.byte_ranges import REMEDY
from oceanrecon.stores.files import Root
from oceanrecon.stores.geotiff import GDAL_OPTIONS

#: Five variables of the 16 dates whose rows a loader shuffles together. GDAL keeps a block of all bands for each, 3 MB
#: (uint8) or 7 MB for 50 levels, beside its cache.
_KEPT = 80


class TiffReader:
    """Windows of GeoTIFFs below a root."""

    def __init__(self, root: Root) -> None:
        """Below ``root``."""
        self.root = root
        #: by path: the data set, and the remote file that it reads through
        self._open: OrderedDict[str, tuple[Any, Any]] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root, "_open": OrderedDict()}

    def __del__(self) -> None:
        while self._open:
            self._close_oldest()

    def read(self, path: str, rows: tuple[int, int], columns: tuple[int, int]) -> NDArray[Any]:
        """Codes of a window (first and last, excluded) of all bands: [band, row, column].

        Raises:
            OutputError: the file is missing or damaged; names it.
        """
        try:
            with rasterio.Env(**GDAL_OPTIONS):
                codes: NDArray[Any] = self._dataset(path).read(window=Window.from_slices(rows, columns))
            return codes
        except (RasterioError, OSError) as error:
            raise OutputError(
                f"{self.root.url_of(path)} cannot be read ({error.__cause__ or error}); {REMEDY}"
            ) from error

    def _dataset(self, path: str) -> Any:
        if path in self._open:
            self._open.move_to_end(path)
            return self._open[path][0]
        url = self.root.url_of(path)
        # elsewhere than on disk through fsspec, not GDAL's own network code: one place for credentials and endpoints
        remote = None if self.root.local_path is not None else RangeFile(url)
        dataset = rasterio.open(url if remote is None else remote)
        self._open[path] = dataset, remote
        if len(self._open) > _KEPT:
            self._close_oldest()
        return dataset

    def _close_oldest(self) -> None:
        _, (dataset, remote) = self._open.popitem(last=False)
        dataset.close()
        if remote is not None:
            remote.close()
