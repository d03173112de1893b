"""A map of a date: the mean, the spread, quantiles and members of a reconstruction, as files."""

from __future__ import annotations

import datetime as dt
import errno
import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from torch import Tensor

from oceanrecon.errors import ConfigError, OutputError
from oceanrecon.grid import RasterGrid
from oceanrecon.stores.files import Root
from oceanrecon.train_config import SamplerSettings
from oceanrecon.training.data.dataset import PatchDataset
from oceanrecon.training.device import default_device, enough_memory, free_memory
from oceanrecon.training.inference.canvas import Bounds, Box, Canvas
from oceanrecon.training.inference.files import MEMBERS, PROFILES, STORE, MapFiles, by_field
from oceanrecon.training.inference.fuse import Fused, estimated, members
from oceanrecon.training.inference.guide import guide
from oceanrecon.training.inference.inputs import inputs_of, map_rows
from oceanrecon.training.inference.members import Guide
from oceanrecon.training.inference.tiles import CanvasPatches
from oceanrecon.training.model.reconstructor import Generator, Reconstructor
from oceanrecon.training.model.stored import Trained, load_model

SUMMARY = "run_summary.yaml"
QUANTILES = (0.05, 0.5, 0.95)
#: Of free memory: the rest is for what networks need on the way.
_SHARE = 0.6
#: Of free memory that patches may stay in.
_KEPT = 0.15
Values = NDArray[np.float32]
#: Members that are done, and all.
Told = Callable[[int, int], None]


@dataclass(frozen=True)
class Reconstruction:
    """A map that was written."""

    output: str
    #: of the map: its longitudes may go beyond 180
    grid: RasterGrid
    #: what ``run_summary.yaml`` says
    summary: Mapping[str, Any]


@enough_memory("this map", "lower batch (--batch)")
def reconstruct(
    model: Trained | str,
    date: str | int | dt.date,
    output: str,
    *,
    export: str | None = None,
    index: str | None = None,
    box: Bounds | None = None,
    number: int = 16,
    seed: int = 0,
    sampler: SamplerSettings | None = None,
    guidance: float = 0.0,
    batch: int = 16,
    overwrite: bool = False,
    told: Told | None = None,
) -> Reconstruction:
    """Reconstruct temperature and salinity on a box or the globe.

    The same model, inputs, seed and batch give the same numbers on one device. What a model cannot do (sample members,
    say how wrong it expects to be) and what is missing (surface fields) is left out, and the summary says so.

    Args:
        model: a trained model, or where it is, which is loaded to a GPU where there is one.
        date: such as ``2018-06-22``, or an ISO week, ``2018-W25``.
        output: folder or fsspec URL of the files.
        export: of which profiles and surface fields are; it needs no reanalysis.
        index: a patch index whose archives they are read from, instead of an export.
        box: west, south, east and north, degrees; default: all of the grid. West > east crosses 180 degrees.
        number: of members.
        seed: of the members.
        sampler: default: that of the model.
        guidance: how strongly members are pulled towards profiles, whose variances are divided by it; default: they
            are not, the model has seen them.
        batch: tiles times members that are worked on together.
        overwrite: replace a map that is there.
        told: hears of progress.

    Raises:
        ConfigError: something is missing or impossible.
        OutputError: there are files already, they cannot be written, or the temporary folder has no room for members.
        OceanreconError: there is too little memory.
    """
    started = time.perf_counter()
    if number < 1 or batch < 1:
        raise ConfigError(f"members={number}, batch={batch}: give at least 1 of both")
    trained = load_model(model, default_device()) if isinstance(model, str) else model
    network = trained.model
    if not isinstance(network, Reconstructor):
        raise ConfigError(f"a model of kind {trained.settings.model.kind} reconstructs nothing: give another run")
    root = Root(output)
    _refuse(root, overwrite)
    inputs = inputs_of(export, index)
    day = inputs.date(date)
    canvas = Canvas.of(inputs.grid, Box.of(inputs.grid, box), trained.form.tile)
    rows = map_rows(canvas.patch_ids, day, canvas.tile)
    source = inputs.source(rows, trained.form, trained.days, trained.quality)
    state = trained.state(inputs.grid, source.form)
    trained.check_window(inputs.window(trained.days))
    pulled = guide(network, state, guidance)
    free = free_memory(trained.device)
    samples = isinstance(network, Generator)
    latent = network.latent if isinstance(network, Generator) else state.channels
    together = members_at_once(canvas, state.channels, latent, number if samples else 1, free, batch)
    patches = CanvasPatches(PatchDataset(source), state, canvas, batch=batch, keep=int(_KEPT * free))
    sampler = sampler or trained.sampler()
    number = number if samples else 0
    with _room_for((number, state.channels, canvas.box.height, canvas.box.width)) as path:
        fused = estimated(network, patches)
        ensemble = _Ensemble(network, fused, day, seed, sampler, number, together, guidance, pulled)
        _clear(root)
        files = MapFiles(
            root, _grid_of(canvas), state.form.fields, state.form.depth, day, trained.days, trained.surface_days,
            {"created_by": f"oceanrecon {version('oceanrecon')}", "model_kind": trained.settings.model.kind},
        )  # fmt: skip
        _write(files, ensemble, path, told)
    used = inputs.profiles(source, trained.form, trained.days, trained.quality)
    files.geojson(used)
    summary = {
        "created_by": f"oceanrecon {version('oceanrecon')}",
        "created_utc": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "date": day.isoformat(),
        "days": trained.days,
        "surface_days": trained.surface_days,
        "quality": list(trained.quality),
        "box": None if box is None else list(box),
        "grid": files.grid.to_dict(),
        "canvas": {
            "height": canvas.height, "width": canvas.width, "tile": canvas.tile, "stride": canvas.stride,
            "tiles": len(canvas.corners), "tiles_with_water": len(fused.fusion.tiles),
        },
        "inputs": inputs.described(),
        "profiles": len(used),
        "missing_surface": [
            name for name, seen in zip(state.form.surface, patches.surface_seen.tolist(), strict=True) if not seen
        ],
        "model": {
            "kind": trained.settings.model.kind, **trained.provenance,
            "file": None if trained.origin is None else asdict(trained.origin),
        },
        "ensemble": ensemble.described(),
        "device": str(trained.device),
        "seconds": round(time.perf_counter() - started, 1),
        "files": files.written,
    }  # fmt: skip
    root.write(SUMMARY, yaml.safe_dump(summary, sort_keys=False).encode())
    root.clear_staging()
    return Reconstruction(root.url, files.grid, summary)


class _Ensemble:
    """The members of a map, some at a time; or what stands for them."""

    def __init__(
        self, model: Reconstructor, fused: Fused, date: dt.date, seed: int, sampler: SamplerSettings, number: int,
        together: int, guidance: float, pulled: Guide | None,
    ) -> None:  # fmt: skip
        self.number, self._model, self._fused = number, model, fused
        self._guidance, self._guide = guidance, pulled
        self._date, self._seed, self._sampler = date, seed, sampler
        self.together = together

    @property
    def statistics(self) -> tuple[str, ...]:
        """What is known of the ensemble."""
        if self.number == 1 or (not self.number and self._fused.estimate.deviation is None):
            return ("mean",)
        return ("mean", "spread", *(f"quantile_{round(100 * part):02d}" for part in QUANTILES))

    def drawn(self) -> Iterator[tuple[int, Values]]:
        """The members one by one, in K and PSU, NaN where there is no water: [C, height, width] of the box."""
        assert isinstance(self._model, Generator)
        for first in range(0, self.number, self.together):
            numbers = range(first, min(first + self.together, self.number))
            found = members(
                self._model, self._fused, numbers, date=self._date, seed=self._seed, sampler=self._sampler,
                guide=self._guide,
            )  # fmt: skip
            for number, member in zip(numbers, found, strict=True):
                yield number, _on_box(self._fused, self._fused.values(member))

    def expected(self) -> dict[str, Values]:
        """Mean, spread and quantiles of a model that does not sample: those of a normal distribution."""
        estimate = self._fused.estimate
        mean = self._fused.values(estimate.mean)
        if estimate.deviation is None:
            return {"mean": _on_box(self._fused, mean)}
        spread = self._fused.values(estimate.mean + estimate.deviation) - mean
        parts = [mean, spread, *(mean + NormalDist().inv_cdf(part) * spread for part in QUANTILES)]
        return dict(zip(self.statistics, [_on_box(self._fused, part) for part in parts], strict=True))

    def described(self) -> dict[str, Any]:
        if not self.number:
            known = self._fused.estimate.deviation is not None
            kind = "none: the model gives a mean and its expected error" if known else "none: the model gives a mean"
            return {"members": 0, "kind": kind}
        return {
            "members": self.number, "at_once": self.together, "seed": self._seed,
            "sampler": self._sampler.model_dump(mode="json"), "quantiles": list(QUANTILES),
            "guidance": self._guidance,
        }  # fmt: skip


@contextmanager
def _room_for(shape: tuple[int, ...]) -> Iterator[Path]:
    """Where all members are kept until their statistics are made: a file of the temporary folder, which has its room.

    Writing to a map of a file that the disk has no room for would kill the process.

    Args:
        shape: [member, C, height, width]; without a member it takes none.

    Raises:
        OutputError: there is too little room.
    """
    needed = 4 * math.prod(shape)
    with tempfile.TemporaryDirectory(prefix="oceanrecon-") as folder:
        path = Path(folder) / "members"
        free = shutil.disk_usage(folder).free  # while nothing of it is taken
        try:
            if needed > free:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            with path.open("wb") as file:
                if needed:
                    os.posix_fallocate(file.fileno(), 0, needed)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise OutputError(
                    f"cannot write {path}: {error.strerror or error}; set TMPDIR to another folder"
                ) from error
            raise OutputError(
                f"{shape[0]} members of this map need {needed / 1e9:.3g} GB in {Path(folder).parent} until it is "
                f"written, and {free / 1e9:.3g} GB are free: set TMPDIR to a folder with "
                "more room, or take fewer members (--members) or a smaller box (--box)"
            ) from error
        yield path


def _write(files: MapFiles, ensemble: _Ensemble, path: Path, told: Told | None) -> None:
    """Draw members, which are kept in a file that has room for them, and write them and their statistics."""
    count, names = ensemble.number, ensemble.statistics
    axes: dict[str, dict[str, Sequence[Any]]] = {f"{part.name}_{name}": {} for part in files.fields for name in names}
    if count:
        axes |= {part.name: {"member": range(count)} for part in files.fields}
    store = files.store(axes)

    def put(name: str, values: Values) -> None:
        for part, own in by_field(values, files.fields):
            store.put(f"{part.name}_{name}", own)
            files.geotiff(part, name, own)

    if not count:
        for name, values in ensemble.expected().items():
            put(name, values)
    else:
        shape = (count, len(files.fields) * len(files.depth), files.grid.height, files.grid.width)
        kept = np.memmap(path, np.float32, "r+", shape=shape)
        for number, member in ensemble.drawn():
            kept[number] = member
            for part, own in by_field(member, files.fields):
                store.put(part.name, own, number)
                files.geotiff(part, f"member_{number:02d}", own, folder=f"{MEMBERS}/")
            if told is not None:
                told(number + 1, count)
        for name, values in summarised(kept, names).items():
            put(name, values)
    store.close()


def summarised(found: Values, names: Sequence[str]) -> dict[str, Values]:
    """Statistics of members, level by level: those of ``names``, each [C, height, width].

    Args:
        found: members, [member, C, height, width], NaN where there is no water.
        names: ``mean``, and ``spread`` (standard deviation, of M - 1) and quantiles where there are several.
    """
    result = {name: np.full(found.shape[1:], np.nan, np.float32) for name in names}
    for channel in range(found.shape[1]):
        wet = np.isfinite(found[0, channel])
        values = np.asarray(found[:, channel][:, wet], np.float64)
        parts = [values.mean(axis=0)]
        if len(names) > 1:
            parts += [values.std(axis=0, ddof=1), *np.quantile(values, QUANTILES, axis=0)]
        for name, part in zip(names, parts, strict=True):
            result[name][channel, wet] = part
    return result


def members_at_once(canvas: Canvas, channels: int, latent: int, number: int, free: int, batch: int) -> int:
    """How many members are sampled together: of the arguments alone, as bytes of a map depend on it.

    Args:
        canvas: that they are on.
        channels: levels of all fields together.
        latent: channels of a state.
        number: of members.
        free: memory, bytes.
        batch: tiles times members that are worked on together.

    Raises:
        ConfigError: free memory has no room for so many.
    """
    together = min(number, batch)
    cells = 4 * canvas.height * canvas.width
    # mean, deviation and wet of the canvas; of a member the state, three on the way, the sum of tiles, and the result
    fixed, each = cells * channels * 9 // 4, cells * (5 * latent + 2 * channels)
    room = (int(_SHARE * free) - fixed) // each
    if room < together:
        advice = f"lower batch (--batch {room})" if room > 0 else "give a smaller box, or more memory"
        raise ConfigError(
            f"a map of {canvas.width} x {canvas.height} pixels (with its margin) and {channels} levels needs "
            f"{(fixed + together * each) / _SHARE / 1e9:.3g} GB for {together} member{'s' * (together > 1)} at once, "
            f"and {free / 1e9:.3g} GB are free: {advice}"
        )
    return together


def _on_box(fused: Fused, values: Tensor) -> Values:
    found: Values = fused.canvas.crop(values).float().cpu().numpy()
    return found


def _grid_of(canvas: Canvas) -> RasterGrid:
    """Of the box: its west edge in -180..180."""
    grid, box = canvas.grid, canvas.box
    west = round((grid.west + box.column * grid.dx + 180.0) % 360.0 - 180.0, 10)
    north = round(grid.north - box.row * grid.dy, 10)
    return replace(grid, west=west, north=north, width=box.width, height=box.height)


def _refuse(root: Root, overwrite: bool) -> None:
    """Whether there is room for a map; changes nothing of it.

    Raises:
        OutputError: there is a map already, or something else.
    """
    root.clear_staging()  # of a run that was killed
    names = root.names()
    others = sorted(name for name in names if name not in (SUMMARY, PROFILES, STORE, MEMBERS) and name[-4:] != ".tif")
    if others:
        raise OutputError(f"{root.url} holds something else than a map, such as {others[0]}: give another output")
    if names and not overwrite:
        raise OutputError(f"{root.url} holds a map: --overwrite replaces it, another --output keeps it")


def _clear(root: Root) -> None:
    """Remove the map that is there."""
    names = root.names()
    for folder in (STORE, MEMBERS):
        root.remove_tree(folder)
    for name in sorted(names - {STORE, MEMBERS}):
        root.remove(name)
