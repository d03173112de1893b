"""What a report shows of the fields themselves: maps, sections, and profiles of withheld floats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from oceanrecon.samples.form import FieldName
from oceanrecon.training.evaluation.floats import FloatTruth
from oceanrecon.training.evaluation.scene import Scene

#: Of maps, m, or the level nearest to it.
_MAP_DEPTH = 100.0
_PROFILES = 8
#: Fewer measured levels are no profile to look at.
_LEVELS = 5

Values = NDArray[Any]


class Examples:
    """Keeps what is shown: of one row maps and sections, of some floats profiles."""

    def __init__(
        self, fields: Sequence[FieldName], depth: Sequence[float], floats: FloatTruth, main: str, samples: bool
    ) -> None:
        """Choose them: the row with the most withheld profiles, and profiles evenly through all.

        Args:
            fields: that are scored.
            depth: m.
            floats: of the rows.
            main: the model that the report is about.
            samples: whether it has members to show.
        """
        self._fields, self._depth, self._main, self._samples = fields, np.array(depth), main, samples
        self._row = int(np.argmax([len(one.platform) for one in floats.withheld]))
        long_enough = [
            (row, number)
            for row, one in enumerate(floats.withheld)
            for number, values in enumerate(one.values)
            if min(np.isfinite(part).sum() for part in np.split(values, len(fields))) >= _LEVELS
        ]
        places = np.linspace(0, len(long_enough) - 1, min(_PROFILES, len(long_enough))).round().astype(int)
        self._profiles = {long_enough[place]: fields[turn % len(fields)] for turn, place in enumerate(places)}
        self._found: dict[str, list[dict[str, Any]]] = {"maps": [], "sections": [], "profiles": []}
        self.arrays: dict[str, Values] = {}

    def add(self, scene: Scene) -> None:
        """Keep what is wanted of a scene."""
        if scene.row == self._row:
            for field in self._fields:
                self._map(scene, field)
                self._section(scene, field)
        for (row, number), field in self._profiles.items():
            if row == scene.row:
                self._profile(scene, number, field)

    def summary(self) -> dict[str, list[dict[str, Any]]]:
        """What ``evaluation.json`` has; it names ``arrays``."""
        return self._found

    def _map(self, scene: Scene, field: FieldName) -> None:
        level = int(np.abs(self._depth - _MAP_DEPTH).argmin())
        extent = _extent(scene)
        truth = scene.withheld
        seen = np.stack(scene.places(*np.nonzero(scene.seen))[::-1], axis=1)
        withheld = np.stack([truth.longitude, truth.latitude], axis=1).astype(np.float64)
        for places in (seen, withheld):
            places[:, 0] = extent[0] + (places[:, 0] - extent[0]) % 360.0
        channel = self._channel(field, level)
        panels = self._panels(scene, f"map {field}", lambda values: values[channel])
        land = ~scene.known.any(dim=0).cpu().numpy()
        self._found["maps"].append(
            {
                "field": field, "depth": float(self._depth[level]), "date": scene.date.isoformat(), "extent": extent,
                "land": self._keep(f"map {field} land", land), "inputs": self._keep(f"map {field} inputs", seen),
                "withheld": self._keep(f"map {field} withheld", withheld), "panels": panels,
            }
        )  # fmt: skip

    def _section(self, scene: Scene, field: FieldName) -> None:
        known = scene.known.cpu().numpy()
        # along the parallel with the most water
        row = int(known.sum(axis=(0, 2)).argmax())
        part = slice(self._channel(field, 0), self._channel(field, 0) + len(self._depth))
        west, east, *_ = _extent(scene)
        place = west + (np.arange(len(scene.longitude)) + 0.5) * (east - west) / len(scene.longitude)
        self._found["sections"].append(
            {
                "field": field, "date": scene.date.isoformat(), "held": "latitude", "at": float(scene.latitude[row]),
                "place": self._keep(f"section {field} place", place),
                "panels": self._panels(scene, f"section {field}", lambda values: values[part, row]),
            }
        )  # fmt: skip

    def _panels(self, scene: Scene, prefix: str, cut: Any) -> list[dict[str, str]]:
        """The target, the mean of every model, and of the first its error, a member and the spread."""
        known, mean, members = scene.known, scene.means[self._main], scene.members[self._main]
        shown: list[tuple[str, str, Tensor]] = [("target", "value", scene.target)]
        shown += [(f"{model}{': mean' if model == self._main else ''}", "value", values)
                  for model, values in scene.means.items()]  # fmt: skip
        if self._samples:
            shown.insert(2, (f"{self._main}: a member", "value", members[0]))
        shown.append((f"{self._main} less target", "difference", mean - scene.target))
        if len(members) > 1:
            shown.append((f"{self._main}: spread", "spread", members.std(dim=0)))
        panels = []
        for title, kind, values in shown:
            masked = values.masked_fill(~known, float("nan"))
            key = self._keep(f"{prefix} {title}", cut(masked).cpu().numpy())
            panels.append({"title": title, "kind": kind, "values": key})
        return panels

    def _profile(self, scene: Scene, number: int, field: FieldName) -> None:
        truth = scene.withheld
        name = f"profile {scene.row} {number}"
        part = slice(self._channel(field, 0), self._channel(field, 0) + len(self._depth))
        row, column = int(truth.row[number]), int(truth.column[number])
        wet = scene.known[part, row, column]
        latitude, longitude = truth.latitude[number : number + 1], truth.longitude[number : number + 1]
        distance = float(scene.distance(latitude, longitude)[0])

        def at(values: Tensor) -> Values:
            found: Values = values[..., part, row, column].masked_fill(~wet, float("nan")).cpu().numpy()
            return found

        members = scene.members[self._main]
        self._found["profiles"].append(
            {
                "float": str(truth.platform[number]), "date": scene.date.isoformat(),
                "latitude": float(latitude[0]), "longitude": float(longitude[0]), "field": field,
                "truth": self._keep(f"{name} truth", truth.values[number][part]),
                "estimates": {
                    model: self._keep(f"{name} {model}", at(values)) for model, values in scene.means.items()
                },
                "members": self._keep(f"{name} members", at(members)) if len(members) > 1 else None,
                "distance_km": distance if np.isfinite(distance) else None,
            }
        )  # fmt: skip

    def _channel(self, field: FieldName, level: int) -> int:
        return self._fields.index(field) * len(self._depth) + level

    def _keep(self, name: str, values: Values) -> str:
        self.arrays[name] = values
        return name


def _extent(scene: Scene) -> list[float]:
    """West, east, south and north, degrees; east may go beyond 180."""
    height = float(scene.latitude[0] - scene.latitude[1])
    width = float((scene.longitude[1] - scene.longitude[0]) % 360.0)
    west = float(scene.longitude[0]) - width / 2
    return [
        west, west + width * len(scene.longitude), float(scene.latitude[-1]) - height / 2,
        float(scene.latitude[0]) + height / 2,
    ]  # fmt: skip
