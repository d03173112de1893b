"""An evaluation of made-up models, in the form of ``evaluation.json``: one that samples, one that smooths, none."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oceanrecon.training.evaluation.groups import GROUPINGS
from oceanrecon.training.evaluation.physics import PhysicsScores, physics
from oceanrecon.training.evaluation.scores import Reference, Scores
from oceanrecon.training.evaluation.spectra import Spectra, narrowest_spacing
from oceanrecon.training.evaluation.summary import compare, summarise

FIELDS = {"temperature": "K", "salinity": "PSU"}
MODELS = {
    "diffusion": {"members": 8, "samples": True, "what": "samples of an ensemble, with <all> skips"},
    "oi": {"members": 1, "samples": False, "what": "optimal interpolation"},
    "climatology": {"members": 1, "samples": False, "what": "the season of the training years"},
}


def evaluated(levels: int = 6, floats: int = 30, pixels: int = 24) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Numbers and arrays."""
    generator = torch.Generator().manual_seed(1)
    depth = tuple(float(f"{value:.4g}") for value in np.geomspace(0.5, 1500, levels))
    channels = 2 * levels
    size = torch.cat([0.3 + 1.5 * torch.exp(-(((torch.tensor(depth) - 80) / 120) ** 2))] * 2)
    size[levels:] *= 0.12
    made: dict[str, Any] = {"scores": {}, "differences": {}}
    for reference, points, noise in (("floats", floats * 8, 0.1 * size), ("target", 3 * pixels**2, None)):
        units = (
            tuple(f"{1900000 + number}" for number in range(floats)) if noise is not None else ("20120222", "20120229")
        )
        classes = {
            name: torch.randint(min(len(names), 4), (points,), generator=generator) for name, names in GROUPINGS.items()
        }
        classes["all"].zero_()
        known = torch.arange(channels) % levels < torch.randint(
            levels // 2, levels + 1, (points, 1), generator=generator
        )
        middle, truth = _drawn(generator, size, points, 2)
        truth = 0.8 * middle + 0.6 * truth
        of_reference = Reference(
            truth, known, units, torch.arange(points) % len(units), classes, torch.ones(points), noise, 3
        )
        scores = {}
        for model, about in MODELS.items():
            scores[model] = Scores(
                tuple(FIELDS),
                depth,
                size.double().numpy(),
                GROUPINGS,
                int(about["members"]),  # type: ignore[call-overload]
            )
            estimate = {"diffusion": 0.8 * middle, "oi": 0.5 * middle, "climatology": 0.0 * middle}[model]
            members = estimate.expand(1, -1, -1)
            if model == "diffusion":
                members = estimate + 0.55 * _drawn(generator, size, points, 8)
            scores[model].add(of_reference, members)
        made["scores"][reference] = {model: summarise(one) for model, one in scores.items()}
        made["differences"][reference] = {
            model: compare(scores["diffusion"], one) for model, one in scores.items() if model != "diffusion"
        }
    fields = _fields(generator, channels, pixels)
    spectra = {}
    for model in ("diffusion", "oi"):
        one = Spectra(tuple(FIELDS), depth, 0.25, 0.25, narrowest_spacing(pixels, 0.25, 0.25, 40.0))
        complete = torch.arange(channels) % levels < levels - 1
        members = fields["member"] if model == "diffusion" else fields["mean"].expand(1, -1, -1, -1)
        one.add(35.0, complete, {"target": fields["target"], "mean": fields["mean"], "member": members})
        spectra[model] = one.summary()
    arrays = _arrays(fields, levels, pixels)
    numbers = made | {
        "run": "runs/<small>", "split": "test", "export": "demo/export", "created_by": "oceanrecon 0.1",
        "created_utc": "2026-11-21T18:00:00Z", "dates": {"first": "2012-02-22", "last": "2012-02-29", "count": 2},
        "fields": FIELDS, "depth": list(depth), "models": MODELS, "notes": ["no float in the Baltic"],
        "goals": [{"what": "CRPS at most 0.75 times the MAE", "holds": False, "found": "0.8 times"}],
        "checks": [
            {"what": "no withheld float among the inputs", "holds": True, "found": "0 of 1,200 input values"},
            {"what": "the sides of the split share nothing", "holds": False, "found": "no <proof.json>"},
        ],
        "references": {
            "floats": {"title": "withheld floats", "units": "floats"},
            "target": {"title": "the dense target", "units": "dates"},
        },
        "spectra": spectra, "physics": _physics(fields, depth, levels), "examples": _examples(pixels),
    }  # fmt: skip
    return json.loads(json.dumps(numbers)), arrays


def _drawn(generator: torch.Generator, size: Tensor, points: int, count: int) -> Tensor:
    """Anomalies that are correlated in depth: [count, N, C]."""
    few = torch.randn(count, points, 1, generator=generator) + 0.5 * torch.randn(
        count, points, len(size), generator=generator
    )
    found: Tensor = few * size / 1.25**0.5
    return found


def _fields(generator: torch.Generator, channels: int, pixels: int) -> dict[str, Tensor]:
    """Red noise: target, three members, and their smooth part."""
    wave = torch.hypot(torch.fft.fftfreq(pixels)[:, None], torch.fft.fftfreq(pixels)) + 0.02
    white = torch.randn(5, channels, pixels, pixels, generator=generator)
    red = torch.fft.ifft2(torch.fft.fft2(white) * wave**-1.5).real / 10
    smooth = torch.fft.ifft2(torch.fft.fft2(red[0]) * torch.exp(-((wave / 0.1) ** 2))).real
    rough = red - torch.fft.ifft2(torch.fft.fft2(red) * torch.exp(-((wave / 0.1) ** 2))).real
    return {"target": red[0], "mean": smooth, "member": smooth + rough[2:]}


def _physics(fields: dict[str, Tensor], depth: tuple[float, ...], levels: int) -> dict[str, Any]:
    def columns(field: Tensor) -> dict[str, NDArray[np.float64]]:
        flat = field.reshape(2 * levels, -1).T.double().numpy()
        cold = 293.15 + 6 - 8 * np.sqrt(np.array(depth) / 1500)
        places = np.zeros(len(flat))
        return physics(cold + flat[:, :levels], 35 + 0.02 * flat[:, levels:], depth, places, places)

    found = {}
    for model in ("diffusion", "oi"):
        scores = PhysicsScores()
        ours = fields["member"] if model == "diffusion" else fields["mean"][None]
        scores.add("20120222", columns(fields["target"]), [columns(one) for one in ours])
        found[model] = scores.summary()
    return found


def _arrays(fields: dict[str, Tensor], levels: int, pixels: int) -> dict[str, NDArray[Any]]:
    land = np.zeros((pixels, pixels), bool)
    land[: pixels // 4, : pixels // 3] = True
    shown = {name: 288 + (field[0] if field.ndim == 4 else field).numpy() for name, field in fields.items()}
    for field in shown.values():
        field[:, land] = np.nan
    found: dict[str, NDArray[Any]] = {f"map {name}": field[1] for name, field in shown.items()}
    found["map error"] = found["map mean"] - found["map target"]
    found["map spread"] = np.where(land, np.nan, fields["member"].std(dim=0)[1].numpy())
    found |= {f"section {name}": field[:levels, pixels // 2] for name, field in shown.items()}
    found["section error"] = found["section mean"] - found["section target"]
    cold = np.linspace(299, 277, levels)
    found["truth"] = np.where(np.arange(levels) < levels - 1, cold + 0.2, np.nan)
    found |= {"float diffusion": cold, "float oi": cold + 0.5, "float members": cold + 0.3 * np.arange(-3, 4)[:, None]}
    found |= {
        "land": land, "place": 175.125 + 0.25 * np.arange(pixels),
        "inputs": np.array([[177.0, 31.0], [181.0, 33.0]]), "withheld": np.array([[180.0, 32.0]]),
    }  # fmt: skip
    return found


def _examples(pixels: int) -> dict[str, Any]:
    kinds = (
        ("target", "value", "target"),
        ("diffusion: mean", "value", "mean"),
        ("diffusion: a member", "value", "member"),
        ("mean less target", "difference", "error"),
        ("spread", "spread", "spread"),
    )
    side = 0.25 * pixels
    return {
        "maps": [
            {
                "field": "temperature", "depth": 100.0, "date": "2012-02-29",
                "extent": [175, 175 + side, 30, 30 + side],
                "land": "land", "inputs": "inputs", "withheld": "withheld",
                "panels": [{"title": title, "kind": kind, "values": f"map {key}"} for title, kind, key in kinds],
            }
        ],
        "sections": [
            {
                "field": "temperature", "date": "2012-02-29", "held": "latitude", "at": 34.0, "place": "place",
                "panels": [
                    {"title": title, "kind": kind, "values": f"section {key}"} for title, kind, key in kinds[:4]
                ],
            }
        ],
        "profiles": [
            {
                "float": "1900001", "date": "2012-02-29", "latitude": 32.04, "longitude": -179.96,
                "field": "temperature",
                "truth": "truth", "estimates": {"diffusion": "float diffusion", "oi": "float oi"},
                "members": "float members" if number % 2 == 0 else None, "distance_km": None if number == 1 else 81.6,
            }
            for number in range(5)
        ],
    }  # fmt: skip
