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
from distributed import Client
from torch.utils.data import DataLoader

from oceanrecon.config import parse_settings
from oceanrecon.errors import OutputError
from oceanrecon.patch_config import PatchesSettings
from oceanrecon.pipeline.patches.write import run_write
from oceanrecon.pipeline.patches.write_source import open_source
from oceanrecon.samples.augment import Augment
from oceanrecon.samples.form import Batch, SampleForm, Source
from oceanrecon.samples.written import open_written
from oceanrecon.training.data import PatchLoader, make_loader
from oceanrecon.training.data.decode import Tensors
from oceanrecon.training.data.loader import _as_it_is, _Batches
from oceanrecon.training.data.transport import Slots, batch_bytes
from oceanrecon.transform.simulate import Simulation
from tests.archives import PRODUCTS, copied
from tests.samples.written_rows import planned, table_of
from tests.training.data.probe import Loaded, PageFaults, patches, rows


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


def modules_of_a_worker(source: Source) -> set[str]:
    loader = make_loader(Loaded(source), 2, workers=1)
    return set(bytes(next(iter(loader))["modules"].numpy()).decode().split(","))


def test_workers_load_no_dask_no_xarray_no_tables_and_no_lightning(with_profiles: dict[str, Path]) -> None:
    loaded = modules_of_a_worker(patches(with_profiles["uint8"]).source)
    assert "oceanrecon.samples.export" in loaded
    assert {"dask", "distributed", "xarray", "pandas", "pyarrow", "lightning", "zarr"} & loaded == set()


def test_workers_of_archives_and_written_samples_load_neither_dask_nor_xarray(
    with_profiles: dict[str, Path], archive: Path, exported: Path, sources_of_profiles: Path, tmp_path: Path,
    client: Client,
) -> None:  # fmt: skip
    given = {
        "archive": {"root": str(archive), "products": dict.fromkeys(PRODUCTS)},
        "en4": {"root": str(sources_of_profiles / "en4")},
        "tiling": {"mask": str(exported / "masks/land_mask.tif")},
        "output": str(tmp_path / "index"), "write": {"output": str(tmp_path / "none")},
    }  # fmt: skip
    sources: dict[str, Source] = {"archive": open_source(parse_settings(PatchesSettings, given, "test"), rows())}
    for form in ("zarr", "geotiff", "npy"):
        assert run_write(
            planned(with_profiles["uint8"], tmp_path / form, form, table_of().slice(6, 6)), client
        ).complete
        sources[form] = open_written(str(tmp_path / form))
    for name, source in sources.items():
        loaded = modules_of_a_worker(source)
        assert type(source).__module__ in loaded, name
        assert {"dask", "distributed", "xarray", "lightning"} & loaded == set(), name


def test_a_file_that_vanished_is_one_clear_error(with_profiles: dict[str, Path], tmp_path: Path) -> None:
    export = copied(with_profiles["uint8"], tmp_path / "export")
    loader = make_loader(patches(export), workers=1, shuffle=False)
    (export / "dense.zarr/thetao/c/1/0/0/0").unlink()

    with pytest.raises(OutputError) as error:
        list(loader)
    assert str(error.value).startswith("row 18 (patch 0, 20120229): ")
    assert "thetao/c/1/0/0/0 is not there; run `oceanrecon verify --discard-bad`" in str(error.value)


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


def test_a_worker_uses_the_memory_of_chunks_again_in_whatever_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """50 buffers of 1 MB have 12,800 pages of 4 kB. Dask leaves this variable in processes that start a cluster."""
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")
    batches = DataLoader(
        _Batches(PageFaults(), None),  # type: ignore[arg-type]
        batch_size=None,
        sampler=[(0, []), (1, [])],
        num_workers=1,
        collate_fn=_as_it_is,
        multiprocessing_context="spawn",
    )
    _, then = batches
    assert then["faults"].item() < 2000
