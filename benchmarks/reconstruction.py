"""``python -m benchmarks.reconstruction``: what a member of a patch costs, beside 1,000 steps of a larger network.

Networks are of their default size and untrained, patches are made up: neither matters to the cost. No file is read.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import report
from oceanrecon.grid import RasterGrid
from oceanrecon.grid.coarse import coarse_grid
from oceanrecon.samples.form import SampleForm
from oceanrecon.stores.statistics import Modes, Statistics
from oceanrecon.train_config import NetworkSettings, SamplerSettings, TrainSettings
from oceanrecon.training.inference.members import sampled_members
from oceanrecon.training.model.autoencoder import Autoencoder
from oceanrecon.training.model.build import build
from oceanrecon.training.model.conditions import CONTEXT, channels
from oceanrecon.training.model.diffusion import Diffusion, inputs
from oceanrecon.training.model.estimators import Regression
from oceanrecon.training.model.unet import UNet
from oceanrecon.training.objectives.losses import likelihood, mean_of
from oceanrecon.training.objectives.task import weights
from oceanrecon.training.state.patches import Patches
from oceanrecon.training.state.state import State
from oceanrecon.transform.covariance import Covariance

_HERE = Path(__file__).parent
_SURFACE = ("analysed_sst", "sos", "adt")
#: Profiles of a week on a patch of 12.8 degrees, about.
_PROFILES = 40
#: The network that ours is compared with: as many parameters and FLOPs as the known system's, from our own parts.
_RIVAL_STEPS, _RIVAL_MULTIPLIERS, _RIVAL_INPUTS = 1000, (1, 2, 3, 5, 6), 250
#: Of bfloat16 without sparsity, by a part of the name of the device: FLOP per second.
_PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12}
#: Patches in a step on a GPU.
_GPU_BATCH = 16


def main() -> None:
    """Measure, and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few levels, small patches: does it run at all?")
    parser.add_argument("--results", type=Path, default=_HERE / "results", help="where the results go")
    given = parser.parse_args()
    run(given.results, quick=given.quick)


def run(results: Path, *, quick: bool = False) -> None:
    """Measure, and write the table to a folder."""
    model, patches, rival = _made(quick)
    figures = measure_cost(model, patches, rival, repeats=1 if quick else 2)
    title = "Reconstruction: a member of a patch"
    report.write(results, "16-reconstruction", title, cost_rows(figures), figures, ("torch",))
    if torch.cuda.is_available():
        found = measure_gpu(model, patches.repeated(_GPU_BATCH), figures)
        title = f"Reconstruction: {torch.cuda.get_device_name()}"
        report.write(results, "18-reconstruction-gpu", title, gpu_rows(found), found, ("torch",))


def measure_cost(model: Diffusion, patches: Patches, rival: UNet, repeats: int) -> dict[str, Any]:
    """FLOPs and CPU-seconds, with one thread, of the parts of a member, of a member, and of a training step."""
    torch.set_num_threads(1)
    base, sampler = model.base, SamplerSettings()
    assert isinstance(base, Regression) and base.guess is not None
    side, count = patches.observed.shape[-1], patches.observed.shape[1]
    seen = channels(count, len(_SURFACE), guess=True)
    with torch.no_grad():
        estimate = model.estimate(patches)
    state, level = torch.randn(1, model.latent, side, side), torch.tensor(1.0)
    fields = torch.randn(1, _RIVAL_INPUTS, side, side)
    denoise = model.denoiser(patches, estimate)
    work: dict[str, Callable[[], object]] = {
        "first guess": lambda: base.guess.estimate(patches) if base.guess is not None else None,
        "estimate": lambda: model.estimate(patches),
        "step": lambda: denoise(state, level),
        "member": lambda: sampled_members(model, patches, model.estimate(patches), 1, sampler, 0),
        "rival step": lambda: rival(fields, torch.zeros(1, CONTEXT), torch.zeros(1)),
    }
    tried: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(repeats + 1):  # the first one is slower, and is not counted
        for name, do in work.items():
            with torch.no_grad():
                tried[name].append(_cpu_seconds(do))
    seconds = {name: min(each[1:]) for name, each in tried.items()}
    training = {name: min(each) for name, each in _training(model, patches, repeats).items()}
    flops = {
        "first guess": count_flops(work["first guess"]),
        "regression": _flops(base.net, seen, side),
        "step": _flops(model.net, inputs(model.latent, seen), side),
        "rival step": _flops(rival, _RIVAL_INPUTS, side),
    }
    flops["member"] = count_flops(work["member"])
    flops["rival"] = _RIVAL_STEPS * flops["rival step"]
    seconds["rival"] = _RIVAL_STEPS * seconds["rival step"]
    return {
        "pixels": side,
        "levels": count,
        "steps": sampler.steps,
        "parameters": {"regression": _size(base.net), "diffusion": _size(model.net), "rival": _size(rival)},
        "flops": flops,
        "cpu_seconds": seconds,
        "training_cpu_seconds": training,
        "ratio": {"flops": flops["rival"] / flops["member"], "cpu": seconds["rival"] / seconds["member"]},
    }


def cost_rows(figures: dict[str, Any]) -> list[report.Row]:
    """Ours, theirs, how many times as much."""
    flops, seconds, parameters = figures["flops"], figures["cpu_seconds"], figures["parameters"]

    def row(name: str, size: int | None, count: float | None, cpu: float) -> report.Row:
        return {
            f"{figures['levels']} levels of {figures['pixels']} x {figures['pixels']} pixels": name,
            "parameters": "" if size is None else f"{size / 1e6:.1f} M",
            "GFLOP": "" if count is None else f"{count / 1e9:,.1f}",
            "CPU-s": f"{cpu:,.2f}",
        }

    rows = [
        row("first guess: optimal interpolation", None, flops["first guess"], seconds["first guess"]),
        row("estimate: first guess and regression", parameters["regression"],
            flops["first guess"] + flops["regression"], seconds["estimate"]),
        row("a step of the diffusion", parameters["diffusion"], flops["step"], seconds["step"]),
        row(f"a member: estimate and {figures['steps']} steps", parameters["regression"] + parameters["diffusion"],
            flops["member"], seconds["member"]),
        row("a step of the larger network", parameters["rival"], flops["rival step"], seconds["rival step"]),
        row(f"{_RIVAL_STEPS:,} of these, scaled from one", parameters["rival"], flops["rival"], seconds["rival"]),
    ]  # fmt: skip
    ratio = row("how many times as much", None, None, 0.0)
    rows.append(ratio | {"GFLOP": f"{figures['ratio']['flops']:.0f}", "CPU-s": f"{figures['ratio']['cpu']:.0f}"})
    rows += [
        row(f"a training step of the {name}, a patch", parameters[name], 3 * flops[key], cpu)
        for (name, cpu), key in zip(figures["training_cpu_seconds"].items(), ("regression", "step"), strict=True)
    ]
    return rows


def measure_gpu(model: Diffusion, patches: Patches, figures: dict[str, Any]) -> dict[str, Any]:
    """Training steps and members on a GPU as ``oceanrecon train`` has them: bfloat16, compiled, channels last."""
    device = torch.device("cuda")
    model, patches = model.to(device), _moved(patches, device)
    base = model.base
    assert isinstance(base, Regression)
    for net in (base.net, model.net):
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        net.compile()
    peak = next((flops for name, flops in _PEAKS.items() if name in torch.cuda.get_device_name()), math.nan)
    found: dict[str, Any] = {"device": torch.cuda.get_device_name(), "batch": len(patches), "peak_flops": peak}
    for name, step in _steps(model, patches).items():
        torch.cuda.reset_peak_memory_stats()
        with torch.autocast("cuda", torch.bfloat16):
            seconds = _gpu_seconds(step, 20)
        flops = 3 * figures["flops"]["regression" if name == "regression" else "step"] * len(patches)
        found[name] = {
            "seconds": seconds,
            "samples_per_second": len(patches) / seconds,
            "memory": torch.cuda.max_memory_allocated(),
            "peak_share": flops / seconds / peak,
        }
    with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16):
        torch.cuda.reset_peak_memory_stats()
        seconds = _gpu_seconds(
            lambda: sampled_members(model, patches, model.estimate(patches), 1, SamplerSettings(), 0), 3
        )
    found["members"] = {
        "seconds": seconds,
        "samples_per_second": len(patches) / seconds,
        "memory": torch.cuda.max_memory_allocated(),
        "peak_share": figures["flops"]["member"] * len(patches) / seconds / peak,
    }
    return found


def gpu_rows(found: dict[str, Any]) -> list[report.Row]:
    """Training of each network, and sampling."""
    names = {
        "regression": "a training step of the regression",
        "diffusion": "a training step of the diffusion",
        "members": "a member of each patch",
    }
    return [
        {
            f"{found['batch']} patches": text,
            "s": f"{found[name]['seconds']:.3f}",
            "patches per s": f"{found[name]['samples_per_second']:.1f}",
            "memory, GB": f"{found[name]['memory'] / 1e9:.1f}",
            "of the peak FLOPs": f"{found[name]['peak_share']:.1%}",
        }
        for name, text in names.items()
    ]


def _training(model: Diffusion, patches: Patches, repeats: int) -> dict[str, list[float]]:
    """CPU-seconds of training steps, the first of which is not counted."""
    found = {}
    for name, step in _steps(model, patches).items():
        step()
        found[name] = [_cpu_seconds(step) for _ in range(repeats)]
    return found


def _steps(model: Diffusion, patches: Patches) -> dict[str, Callable[[], object]]:
    """A step of each network: loss, gradients, AdamW. What is before it, decoding and scaling, is not in it."""
    base = model.base
    assert isinstance(base, Regression) and patches.target is not None and patches.target_mask is not None
    target, weight = patches.target, weights(patches, patches.target_mask)

    def of_regression() -> Tensor:
        return likelihood(base.estimate(patches), target)

    def of_diffusion() -> Tensor:
        with torch.no_grad():
            estimate = model.estimate(patches)
            state, _ = model.encoded(target, weight > 0, estimate)
        noise, draw = torch.randn_like(state), torch.randn(len(patches), 2, device=patches.device)
        wrong, counts = model.errors(state, noise, draw, patches, estimate)
        return counts * wrong.square()

    def step_of(net: UNet, loss: Callable[[], Tensor]) -> Callable[[], object]:
        optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4)

        def step() -> None:
            optimizer.zero_grad(set_to_none=True)
            total, count = mean_of(loss(), weight)
            torch.autograd.backward(total / count)
            optimizer.step()

        return step

    return {"regression": step_of(base.net, of_regression), "diffusion": step_of(model.net, of_diffusion)}


def _made(quick: bool) -> tuple[Diffusion, Patches, UNet]:
    """The default model of joint scenario and 50 levels, a patch, and the larger network."""
    levels, side = (3, 32) if quick else (50, 128)
    network = {"width": 16, "multipliers": [1, 2]} if quick else {}
    state = _state(levels)
    settings = TrainSettings.model_validate(
        {
            "output": "run",
            "data": {"index": "index"},
            "scaling": {"statistics": "statistics"},
            "model": {"kind": "diffusion", **network},
            "stages": [{"network": name, "samples": 1} for name in ("estimate", "diffusion")],
        }
    )
    model = build(settings, state, _no_autoencoder)
    assert isinstance(model, Diffusion)
    rival = UNet(
        _RIVAL_INPUTS, state.channels, CONTEXT, width=16 if quick else NetworkSettings().width,
        multipliers=(1, 2) if quick else _RIVAL_MULTIPLIERS, noise=True,
    )  # fmt: skip
    return model.eval(), _patches(state.channels, side), rival.eval()


def _no_autoencoder(run: str) -> Autoencoder:
    raise AssertionError(f"the default model has no autoencoder, and {run} was asked for")


def _state(levels: int) -> State:
    """Of a made-up ocean of 0.1 degrees."""
    grid = RasterGrid.from_bounds(0.1, (-50.0, 20.0, -20.0, 40.0))
    coarse = coarse_grid(grid, 5.0)
    depth = tuple(float(value) for value in np.geomspace(0.5, 5500, levels))
    fields = ("temperature", "salinity")
    place = (coarse.height, coarse.width)
    terms = {name: np.zeros((5, levels, *place), np.float32) for name in fields}
    one = np.ones(levels, np.float32)
    statistics = Statistics(
        fields=fields,
        surface=_SURFACE,
        depth=depth,
        grid=grid,
        coarse=coarse,
        terms=terms | {name: np.zeros((5, *place), np.float32) for name in _SURFACE},
        deviation=dict.fromkeys(fields, one) | {name: np.ones((), np.float32) for name in _SURFACE},
        eof=Modes(np.ones(2 * levels, np.float32), np.eye(2 * levels, dtype=np.float32)),
        deepest=np.full((grid.height, grid.width), levels, np.int8),
        covariance={name: Covariance(300 * one, 0.9 * one, 0.1 * one) for name in fields},
        provenance={},
    )
    return State(statistics, SampleForm("joint", 128, depth, _SURFACE, "uint16"), grid)


def _patches(count: int, side: int) -> Patches:
    """One, of noise, with some profiles."""
    random = torch.Generator().manual_seed(1)
    seen = torch.zeros(side * side, dtype=torch.bool)
    seen[torch.randperm(side * side, generator=random)[:_PROFILES]] = True
    mask = seen.view(1, 1, side, side).expand(1, count, side, side).clone()
    field = torch.randn(1, count, side, side, generator=random)
    everywhere = torch.ones(1, count, side, side, dtype=torch.bool)
    along = torch.arange(side)[None]
    return Patches(
        day=torch.tensor([734_500]),
        latitude=40.0 - 0.1 * (along + 0.5),
        longitude=-50.0 + 0.1 * (along + 0.5),
        row=along,
        column=along,
        observed=field * mask,
        observed_mask=mask,
        age=seen.view(1, 1, side, side).float(),
        surface=torch.randn(1, len(_SURFACE), side, side, generator=random),
        surface_mask=everywhere[:, : len(_SURFACE)],
        wet=everywhere,
        target=field,
        target_mask=everywhere,
    )


def _moved(patches: Patches, device: torch.device) -> Patches:
    tensors = {name: values.to(device) for name, values in vars(patches).items() if values is not None}
    return Patches(**tensors)


def _flops(net: UNet, count: int, side: int) -> int:
    """Of one patch forwards."""
    level = None if net.noise is None else torch.zeros(1)
    return count_flops(lambda: net(torch.zeros(1, count, side, side), torch.zeros(1, CONTEXT), level))


def count_flops(do: Callable[[], object]) -> int:
    """Of some work: convolutions and products of matrices, two for each multiplication and addition."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        do()
    return int(counter.get_total_flops())


def _size(net: UNet) -> int:
    return sum(values.numel() for values in net.parameters())


def _cpu_seconds(do: Callable[[], object]) -> float:
    before = time.thread_time()
    do()
    return time.thread_time() - before


def _gpu_seconds(do: Callable[[], object], times: int) -> float:
    """Of one, after three that are not counted."""
    for _ in range(3):
        do()
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(times):
        do()
    torch.cuda.synchronize()
    return (time.perf_counter() - started) / times


if __name__ == "__main__":
    main()
