"""A tiny ocean in memory: statistics, batches as ``Decode`` gives them, and models; no file."""

from __future__ import annotations

import numpy as np
import torch

from oceanrecon.grid import RasterGrid
from oceanrecon.grid.coarse import coarse_grid
from oceanrecon.samples.form import SampleForm
from oceanrecon.stores.statistics import Modes, Statistics
from oceanrecon.train_config import TrainSettings
from oceanrecon.training.data.decode import Tensors
from oceanrecon.training.model.build import build
from oceanrecon.training.model.reconstructor import Reconstructor
from oceanrecon.training.state.patches import Patches
from oceanrecon.training.state.state import State
from oceanrecon.transform.covariance import Covariance

GRID = RasterGrid.from_bounds(1.0, (-180.0, -60.0, 180.0, 60.0))
DEPTH = (0.5, 10.0, 100.0)
SIDE = 16


def form(scenario: str = "joint") -> SampleForm:
    return SampleForm(scenario, SIDE, DEPTH, ("analysed_sst", "adt"), "uint16")  # type: ignore[arg-type]


def statistics() -> Statistics:
    """Climatologies that differ from place to place, two levels of water in the westernmost columns, land at 20 E."""
    random = np.random.default_rng(5)
    coarse = coarse_grid(GRID, 10.0)
    place = (coarse.height, coarse.width)
    means = {"temperature": 288.0, "salinity": 35.0, "analysed_sst": 290.0, "adt": 0.3}
    terms = {}
    for name, mean in means.items():
        shape = (5, 3, *place) if name in ("temperature", "salinity") else (5, *place)
        terms[name] = random.normal(0, 0.5, shape).astype(np.float32)
        terms[name][0] += mean
    deepest = np.full((GRID.height, GRID.width), 3, np.int8)
    deepest[:, :3] = 2
    deepest[:, 200:203] = 0
    return Statistics(
        fields=("temperature", "salinity"),
        surface=("analysed_sst", "adt"),
        depth=DEPTH,
        grid=GRID,
        coarse=coarse,
        terms=terms,
        deviation={
            "temperature": np.array([1.0, 0.8, 0.4], np.float32),
            "salinity": np.array([0.3, 0.2, 0.1], np.float32),
            "analysed_sst": np.float32(1.0),  # type: ignore[dict-item]
            "adt": np.float32(0.1),  # type: ignore[dict-item]
        },
        eof=Modes(np.array([3.0, 1.5, 0.8, 0.4, 0.2, 0.1], np.float32), np.eye(6, dtype=np.float32)),
        deepest=deepest,
        covariance={
            name: Covariance(np.full(3, 300.0, np.float32), np.full(3, 0.9, np.float32), np.full(3, 0.1, np.float32))
            for name in ("temperature", "salinity")
        },
        provenance={"covariance_of": {"temperature": "reanalysis", "salinity": "profiles"}},
    )


def state(scenario: str = "joint") -> State:
    return State(statistics(), form(scenario), GRID)


def batch(count: int = 2, *, seed: int = 0, profiles: int = 6, column: int = 172, date: int = 20120229) -> Tensors:
    """What ``Decode`` gives of patches in physical units; column 172: to land at 20 E; 350: over the dateline."""
    random = torch.Generator().manual_seed(seed)
    wet = (torch.from_numpy(statistics().deepest)[None, 40 : 40 + SIDE] > torch.arange(3)[:, None, None]).float()
    columns = (torch.arange(SIDE) + column) % GRID.width
    valid = (wet[:, :, columns] > 0).expand(count, -1, -1, -1)
    seen = torch.zeros(count, 1, SIDE, SIDE, dtype=torch.bool)
    for number in range(count):
        places = torch.randperm(SIDE * SIDE, generator=random)[:profiles]
        seen[number].view(-1)[places] = True
    smooth = torch.nn.functional.interpolate(torch.randn(count, 1, 3, 3, generator=random), SIDE, mode="bilinear")
    made: Tensors = {
        "row": torch.arange(count) + 10 * seed,
        "patch_id": torch.full((count,), 40 * GRID.width + column),
        "date": torch.full((count,), date),
        "coords": torch.zeros(count, 2),
        "eo": torch.cat([290 + smooth, 0.3 + 0.1 * smooth], dim=1),
        "eo_valid_mask": torch.ones(count, 2, SIDE, SIDE, dtype=torch.bool),
        "x_age": torch.where(seen, 2.0, 0.0),
        "land_mask": valid.any(dim=1, keepdim=True).float(),
    }
    for suffix, mean, size in (("", 288.0, 1.0), ("_salinity", 35.0, 0.3)):
        y = mean + size * smooth * torch.tensor([1.0, 0.8, 0.5])[:, None, None]
        made[f"y{suffix}"] = torch.where(valid, y, 0.0)
        made[f"y{suffix}_valid_mask"] = valid
        made[f"x{suffix}"] = torch.where(seen & valid, y, 0.0)
        made[f"x{suffix}_valid_mask"] = seen & valid
    return made


def patches(**chosen: int) -> Patches:
    return state().patches(batch(**chosen))


def settings(kind: str, **changes: object) -> TrainSettings:
    networks = {"climatology": [], "idw": [], "oi": [], "diffusion": ["estimate", "diffusion"]}.get(kind, ["estimate"])
    data = {
        "output": "run",
        "data": {"index": "index", "surface": ["analysed_sst", "adt"], "batch_size": 2},
        "scaling": {"statistics": "statistics"},
        "model": {"kind": kind, "width": 16, "multipliers": [1, 2], "blocks": 1, "attention": 1},
        "stages": [{"network": network, "samples": 16, "rate": 2e-3} for network in networks],
        **changes,
    }
    return TrainSettings.model_validate(data)


def model(kind: str, **changes: object) -> Reconstructor:
    found = build(settings(kind, **changes), state(), lambda run: None)  # type: ignore[arg-type, return-value]
    assert isinstance(found, Reconstructor)
    return found
