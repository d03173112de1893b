"""What is counted of every scene: scores against floats and the dense target, spectra, physics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oceanrecon.samples.form import FieldName
from oceanrecon.training.diffusion.noise import key_of
from oceanrecon.training.evaluation.groups import GROUPINGS, groups
from oceanrecon.training.evaluation.physics import PhysicsScores, physics
from oceanrecon.training.evaluation.scene import Scene
from oceanrecon.training.evaluation.scores import Reference, Scores
from oceanrecon.training.evaluation.spectra import Spectra
from oceanrecon.training.evaluation.summary import compare, summarise

#: The dense target, as one more model that floats judge.
REANALYSIS = "reanalysis"
#: Of each side of a patch, how many pixels are compared with the dense target: those beside them say much the same.
SIDE = 16


@dataclass
class Tally:
    """Sums of every model, from which an evaluation is made."""

    fields: tuple[FieldName, ...]
    #: m
    depth: tuple[float, ...]
    #: of anomalies, K and PSU: [C]
    deviation: Tensor
    #: deviation of the observation error of a float, K and PSU: [C]
    noise: Tensor
    #: width and height of cells, degrees, and width of classes of wavenumber, cycles per km
    cell: tuple[float, float]
    spacing: float
    #: models whose members are fields; of others the mean is
    sampling: frozenset[str]
    seed: int
    #: by reference and model
    scores: dict[str, dict[str, Scores]] = field(default_factory=lambda: {"floats": {}, "target": {}})
    spectra: dict[str, Spectra] = field(default_factory=dict)
    physics: dict[str, PhysicsScores] = field(default_factory=dict)

    def add(self, scene: Scene) -> None:
        """Count a scene."""
        self._floats(scene)
        self._target(scene)
        self._fields(scene)
        if "temperature" in self.fields:
            self._physics(scene)

    def summary(self, main: str) -> dict[str, Any]:
        """Parts of ``evaluation.json``; ``main`` is the model that others are compared with."""
        found: dict[str, Any] = {"scores": {}, "differences": {}}
        for reference, scores in self.scores.items():
            found["scores"][reference] = {model: summarise(one, self.seed) for model, one in scores.items()}
            found["differences"][reference] = {
                model: compare(scores[main], one, self.seed) for model, one in scores.items() if model != main
            }
        found["spectra"] = {model: one.summary() for model, one in self.spectra.items()}
        found["physics"] = {model: one.summary(self.seed) for model, one in self.physics.items()}
        return found

    def _floats(self, scene: Scene) -> None:
        truth = scene.withheld
        rows, columns = (torch.from_numpy(place).to(scene.target.device) for place in (truth.row, truth.column))
        climatology = scene.climatology[:, rows, columns].T
        values = torch.from_numpy(truth.values).to(climatology)
        units, unit = np.unique(truth.platform, return_inverse=True)
        latitude, longitude = truth.latitude, truth.longitude
        reference = self._reference(
            scene,
            values - climatology,
            values.isfinite() & scene.known[:, rows, columns].T,
            tuple(units.tolist()),
            unit,
            groups(scene.date, latitude, longitude, scene.distance(latitude, longitude)),
            np.ones(len(unit)),
            self.noise,
        )
        for model, members in scene.members.items():
            mean = scene.means[model][:, rows, columns].T - climatology
            self._score("floats", model, reference, members[:, :, rows, columns].mT - climatology, mean)
        self._score("floats", REANALYSIS, reference, scene.target[:, rows, columns].T[None] - climatology, None)

    def _target(self, scene: Scene) -> None:
        rows, columns = thinned(scene.target.shape[-2:], SIDE)
        latitude, longitude = scene.places(rows, columns)
        climatology = scene.climatology[:, rows, columns].T
        reference = self._reference(
            scene,
            scene.target[:, rows, columns].T - climatology,
            scene.known[:, rows, columns].T,
            (f"{scene.date:%Y%m%d}",),
            np.zeros(rows.size, np.int64),
            groups(scene.date, latitude, longitude, scene.distance(latitude, longitude)),
            np.cos(np.radians(latitude)),
            None,
        )
        for model, members in scene.members.items():
            mean = scene.means[model][:, rows, columns].T - climatology
            self._score("target", model, reference, members[:, :, rows, columns].mT - climatology, mean)

    def _fields(self, scene: Scene) -> None:
        complete = scene.known.flatten(1).all(dim=1)
        middle = float(scene.latitude.mean())
        for model, mean in scene.means.items():
            spectra = self.spectra.setdefault(model, Spectra(self.fields, self.depth, *self.cell, spacing=self.spacing))
            members = scene.members[model] if model in self.sampling else mean[None]
            spectra.add(middle, complete, {"target": scene.target, "mean": mean, "member": members})

    def _physics(self, scene: Scene) -> None:
        rows, columns = thinned(scene.target.shape[-2:], SIDE)
        places = scene.places(rows, columns)
        known = scene.known[:, rows, columns]
        some = known.any(dim=0).cpu().numpy()

        def found(values: Tensor) -> Mapping[str, NDArray[np.float64]]:
            at = values[:, rows, columns]
            wet = torch.where(known, at, torch.nan).T.double().cpu().numpy()[some]
            parts = dict(zip(self.fields, np.split(wet, len(self.fields), axis=1), strict=True))
            return physics(parts["temperature"], parts.get("salinity"), self.depth, *(one[some] for one in places))

        if some.any():
            target = found(scene.target)
            for model, mean in scene.means.items():
                members = scene.members[model] if model in self.sampling else mean[None]
                ours = [found(member) for member in members]
                self.physics.setdefault(model, PhysicsScores()).add(f"{scene.date:%Y%m%d}", target, ours)

    def _reference(
        self, scene: Scene, values: Tensor, known: Tensor, units: tuple[str, ...], unit: NDArray[np.int64],
        classes: Mapping[str, NDArray[np.int64]], weight: NDArray[np.float64], noise: Tensor | None,
    ) -> Reference:  # fmt: skip
        device = values.device
        return Reference(
            values=values,
            known=known,
            units=units,
            unit=torch.from_numpy(unit).to(device),
            classes={name: torch.from_numpy(number).to(device) for name, number in classes.items()},
            weight=torch.from_numpy(weight).to(device),
            noise=noise,
            seed=key_of(self.seed, scene.patch_id, scene.date.isoformat())[0],
        )

    def _score(self, kind: str, model: str, reference: Reference, members: Tensor, mean: Tensor | None) -> None:
        scores = self.scores[kind].get(model)
        if scores is None:
            scores = self.scores[kind][model] = Scores(
                self.fields, self.depth, self.deviation.double().cpu().numpy(), GROUPINGS, len(members)
            )
        if reference.units:
            scores.add(reference, members, mean)


def thinned(shape: Sequence[int], most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of pixels of a patch, evenly: of each side every so-many-th, at most ``most`` of them."""
    sides = []
    for size in shape:
        step = -(-size // most)
        sides.append(np.arange(step // 2, size, step))
    rows, columns = np.meshgrid(*sides, indexing="ij")
    return rows.ravel(), columns.ravel()
