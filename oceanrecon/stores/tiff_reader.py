"""Reads windows of many GeoTIFFs, which stay open: for loaders."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import ExitStack
from typing import Any

import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window

from oceanrecon.errors import OutputError
from oceanrecon.stores.files import Root
from oceanrecon.stores.geotiff import GDAL_OPTIONS, open_geotiff

_KEPT = 32
_REMEDY = "`oceanrecon verify` tells what else is wrong, and `oceanrecon export --resume` makes missing files again"


class TiffReader:
    """Windows of GeoTIFFs below a root."""

    def __init__(self, root: Root) -> None:
        """Below ``root``."""
        self.root = root
        self._open: OrderedDict[str, tuple[Any, ExitStack]] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root, "_open": OrderedDict()}

    def close(self) -> None:
        """Close all files."""
        while self._open:
            self._open.popitem()[1][1].close()

    def __del__(self) -> None:
        self.close()

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
                f"{self.root.url_of(path)} cannot be read ({error.__cause__ or error}); {_REMEDY}"
            ) from error

    def _dataset(self, path: str) -> Any:
        if path in self._open:
            self._open.move_to_end(path)
            return self._open[path][0]
        with ExitStack() as stack:
            dataset = stack.enter_context(open_geotiff(self.root.url_of(path)))
            self._open[path] = dataset, stack.pop_all()
        if len(self._open) > _KEPT:
            self._open.popitem(last=False)[1][1].close()
        return dataset
