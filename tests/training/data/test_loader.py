"""Risk: batches depend on workers, workers load what they must not, a bad file becomes a torch traceback or a hang."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from oceanrecon.errors import OutputError
from oceanrecon.samples.augment import Augment
from oceanrecon.samples.form import Batch, SampleForm
from oceanrecon.training.data import PatchLoader, make_loader
from oceanrecon.training.data.decode import Tensors
from oceanrecon.training.data.transport import Slots, batch_bytes
from oceanrecon.transform.simulate import Simulation
from tests.archives import copied
from tests.training.data.probe import Loaded, patches, rows


@pytest.fixture(scope="module")
def busy(with_profiles: dict[str, Path]) -> Iterator[PatchLoader]:
    """A loader with two workers, of rows with simulated profiles; any test may loop over it."""
    yield load(with_profiles["uint8"], workers=2)


def load(export: Path, **more: Any) -> PatchLoader:
    augment = Augment(7, simulation=Simulation("columns", columns=9), turn=True)
    return make_loader(patches(export, augment=augment), 5, seed=3, buffer=2, **more)


def equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Bit by bit, for there are NaN."""
    return one.dtype == other.dtype and one.shape == other.shape and one.numpy().tobytes() == other.numpy().tobytes()


def same(ours: list[Tensors], theirs: list[Tensors]) -> bool:
    return len(ours) == len(theirs) and all(
        list(one) == list(other) and all(equal(one[name], other[name]) for name in one)
        for one, other in zip(ours, theirs, strict=True)
    )


def test_batches_are_the_same_from_no_one_and_two_workers(busy: PatchLoader, with_profiles: dict[str, Path]) -> None:
    alone = load(with_profiles["uint8"], workers=0)
    epochs = [list(alone), list(alone)]

    assert sorted(row for batch in epochs[0] for row in batch["row"].tolist()) == list(range(54))
    assert not same(*epochs)
    for loader in (busy, load(with_profiles["uint8"], workers=1, context="forkserver")):
        loader.sampler.set_epoch(0)
        # what a loop was given stays as it is while workers write what comes next
        assert same(list(loader), epochs[0])
        assert same(list(loader), epochs[1])


def test_a_loop_goes_on_with_the_batch_that_came_next(busy: PatchLoader, with_profiles: dict[str, Path]) -> None:
    busy.sampler.set_epoch(1)
    whole = list(busy)
    busy.sampler.set_epoch(1)
    loop = iter(busy)
    first = list(islice(loop, 4))
    state = pickle.loads(pickle.dumps(busy.state_dict()))  # by now workers have read further
    loop.close()  # type: ignore[attr-defined]

    resumed = load(with_profiles["uint8"], workers=0)
    resumed.load_state_dict(state)
    assert same(first + list(resumed), whole)
    assert len(resumed) == len(whole) == 11
    busy.load_state_dict(state)
    assert same(list(busy), whole[4:])
    assert next(iter(busy))["row"].tolist() != whole[0]["row"].tolist()  # the next epoch


def test_workers_load_no_dask_no_xarray_no_tables_and_no_lightning(with_profiles: dict[str, Path]) -> None:
    loader = make_loader(Loaded(str(with_profiles["uint8"]), rows=rows()), workers=1)
    loaded = bytes(next(iter(loader))["modules"].numpy()).decode().split(",")

    assert "oceanrecon.samples.export" in loaded
    assert {"dask", "distributed", "xarray", "pandas", "pyarrow", "lightning", "zarr"} & set(loaded) == set()


def test_a_file_that_vanished_is_one_clear_error(with_profiles: dict[str, Path], tmp_path: Path) -> None:
    export = copied(with_profiles["uint8"], tmp_path / "export")
    loader = make_loader(patches(export), workers=1, shuffle=False)
    (export / "dense.zarr/thetao/c/1/0/0/0").unlink()

    with pytest.raises(OutputError) as error:
        list(loader)
    assert str(error.value).startswith("row 18 (patch 0, 20120229): ")
    assert "thetao/c/1/0/0/0 is not there; `oceanrecon verify`" in str(error.value)


def test_a_script_without_a_guard_ends_with_what_to_do(with_profiles: dict[str, Path], tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from oceanrecon.training.data import ExportPatches, make_loader\n"
        "from oceanrecon.samples.rows import every_row\n"
        "from oceanrecon.grid import PatchGrid, RasterGrid\n"
        "tiles = PatchGrid(RasterGrid.from_bounds(3.0, (-180, -90, 180, 90)), 20, 20)\n"
        f"patches = ExportPatches({str(with_profiles['uint8'])!r}, rows=every_row(tiles, [20120229] * 2000))\n"
        "next(iter(make_loader(patches, batch_size=2, workers=1)))\n"
    )
    # more than a pipe holds was to be sent to a worker that never read it
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=100)
    assert ended.returncode == 1
    assert "a worker of the loader has ended" in ended.stderr and 'if __name__ == "__main__":' in ended.stderr


def test_what_has_no_room_in_a_slot_travels_too() -> None:
    slots = Slots(2, 1000)
    batch: Batch = {
        "date": np.arange(3), "y": np.arange(700, dtype=np.uint8).reshape(7, 100), "none": np.empty((0, 4), np.float32),
        "x": np.arange(400, dtype=np.float32), "eo": np.arange(20, dtype=np.uint16),
    }  # fmt: skip
    writer = slots.writer(1)
    inside = writer.empty((7, 100), np.uint8)
    inside[:] = batch["y"]
    parcel = pickle.loads(pickle.dumps(writer.parcel(batch | {"y": inside})))

    found = slots.take(1, parcel, pin=False)
    slots.writer(1).empty((1000,), np.uint8)[:] = 0
    assert isinstance(parcel["x"], np.ndarray) and isinstance(parcel["y"], tuple)
    assert {name: values.tolist() for name, values in found.items()} == {
        name: values.tolist() for name, values in batch.items()
    }
    # torch finds pinned memory by its storage: one that numpy made would be freed under a copy that is on its way
    assert found["y"].untyped_storage().data_ptr() == found["date"].untyped_storage().data_ptr()
    assert [values.numpy().dtype for values in found.values()] == [values.dtype for values in batch.values()]


def test_a_slot_has_room_for_a_batch_of_the_published_size() -> None:
    form = SampleForm("temperature", 128, tuple(range(50)), ("analysed_sst", "sos", "adt"), "uint8")

    # 819,200 codes, three fields and the land of 16,384 pixels, and 500 profiles
    assert batch_bytes(form, 16) > 16 * (819_200 + 16_384 * 13 + 500 * 208)
