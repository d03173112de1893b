"""How each quantity is shown: its colours, the unit that people read, and whether zero is the middle."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from matplotlib.colors import Colormap, ListedColormap
from numpy.typing import NDArray

with warnings.catch_warnings():
    # cmocean 3.0.3 builds its maps with an argument that matplotlib 3.11 deprecates.
    warnings.filterwarnings("ignore", message="Passing 'N' to ListedColormap")
    from cmocean import cm

#: Land, and sea without a value; neither is a colour of any map below.
LAND = "#b9b2a6"
MISSING = "#ece9e4"
COAST = "#4a4640"
#: Of the sources of profiles; profiles whose source is not recorded are grey.
SOURCES: Mapping[str, str] = MappingProxyType({"en4": "#d9822b", "argo": "#04627f", "": "#a3adb3"})
#: Of the sides of a split, of patches that are left out, and of places where dates decide; then of two sides at once.
PHASES: Mapping[str, str] = MappingProxyType(
    {
        "train": "#2f6f8f",
        "val": "#e09f3e",
        "test": "#8f3b76",
        "guard": "#8a949a",
        "invalid": "#cfc9c0",
        "all sides": "#4f8f7a",
    }
)
SEVERAL = "#d7263d"
#: How many of something, from none to many.
COUNTS: Colormap = cm.dense
#: The same from one to many: without the shades that look like sea without a value.
SOME: Colormap = ListedColormap(cm.dense(np.linspace(0.15, 1.0, 256)), name="some")
#: Of an estimate less what is true, and of how far members are apart.
DIFFERENCES: Colormap = cm.balance
SPREADS: Colormap = cm.amp
#: Of what is measured or compared: temperature and salinity.
TEMPERATURE, SALINITY = "#b3402e", "#2f6f8f"


@dataclass(frozen=True)
class Look:
    """How one quantity is drawn. ``shown = value + offset``, in ``units``."""

    colours: Colormap
    units: str
    offset: float = 0.0
    #: limits are equal on both sides of zero
    symmetric: bool = False

    def show(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values in the unit that people read, any shape."""
        return values + np.float32(self.offset) if self.offset else values


_LOOKS: Mapping[str, Look] = MappingProxyType(
    {
        "temperature_kelvin": Look(cm.thermal, "°C", -273.15),
        "salinity": Look(cm.haline, "PSU"),
        "density": Look(cm.dense, "kg m⁻³"),
        "sea_height": Look(cm.balance, "m", symmetric=True),
    }
)


def look(quantity: str) -> Look:
    """The look of a quantity of ``transform.encode.QUANTITIES``."""
    return _LOOKS[quantity]
