"""Risk: a sample is not the published dictionary, is of another row, or its data set hangs in a fork."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from distributed import Client
from torch.utils.data import DataLoader

import oceanrecon
from oceanrecon.config import dump_settings, load_settings
from oceanrecon.errors import ConfigError, OceanreconError
from oceanrecon.patch_config import PatchesSettings, WriteSettings
from oceanrecon.samples.augment import Augment
from oceanrecon.samples.index import SplitName
from oceanrecon.training.data import ArchivePatches, Decode, ExportPatches, ShardShuffle, WrittenPatches
from oceanrecon.training.data.decode import to_tensors
from oceanrecon.transform.degrade import Degradation
from oceanrecon.transform.simulate import Simulation
from tests.archives import PRODUCTS
from tests.pipeline.patches.small_index import spatial_table, write_index
from tests.training.data.probe import DATES, PATCHES, patches


def test_a_sample_is_the_published_dictionary(with_profiles: dict[str, Path]) -> None:
    sample = patches(with_profiles["uint8"], scenario="joint", return_info=True)[20]

    described = {
        name: (str(values.dtype).removeprefix("torch."), tuple(values.shape))
        for name, values in sample.items()
        if isinstance(values, torch.Tensor)
    }
    fields: dict[str, tuple[str, tuple[int, ...]]] = {}
    for suffix in ("", "_salinity"):
        fields |= {
            f"x{suffix}": ("float32", (3, 10, 10)), f"y{suffix}": ("float32", (3, 10, 10)),
            f"x{suffix}_valid_mask": ("bool", (3, 10, 10)), f"y{suffix}_valid_mask": ("bool", (3, 10, 10)),
            f"x{suffix}_valid_mask_1d": ("bool", (1, 10, 10)),
            f"y{suffix}_supervision_weight": ("float32", (3, 10, 10)),
        }  # fmt: skip
    assert described == fields | {
        "eo": ("float32", (3, 10, 10)), "eo_valid_mask": ("bool", (3, 10, 10)), "land_mask": ("float32", (1, 10, 10)),
        "coords": ("float32", (2,)), "x_age": ("float32", (1, 10, 10)),
    }  # fmt: skip
    # row 20: the third patch of the second date, whose first pixel is in row 0, column 40: 30..60 W, 60..90 N
    assert sample["coords"].tolist() == [75.0, -45.0]
    assert {name: sample[name] for name in ("date", "row", "patch_id")} == {"date": 20120229, "row": 20, "patch_id": 40}
    assert type(sample["date"]) is int
    assert sample["info"] == {
        "date": 20120229, "row": 20, "patch_id": 40, "target_kind": "glorys", "x_source": "argo",
        "bathymetry_reference_date": -1,
    }  # fmt: skip


def test_a_plain_loader_collates_to_what_decoding_a_batch_gives(with_profiles: dict[str, Path]) -> None:
    data = patches(with_profiles["uint8"])
    batch = next(iter(DataLoader(data, batch_size=5)))
    ours = Decode(data.form)(to_tensors(data.codes(range(5))))

    assert list(batch) == list(ours)
    assert all(torch.equal(values, batch[name]) for name, values in ours.items())
    assert len(list(data)) == len(data) == 54  # type: ignore[call-overload]
    with pytest.raises(IndexError, match="row 54 of 54"):
        data[54]
    assert data[-1]["row"] == 53


def test_the_epoch_of_an_index_is_that_of_the_augmentation(with_profiles: dict[str, Path]) -> None:
    augment = Augment(7, simulation=Simulation("columns", columns=5), turn=True)
    data = patches(with_profiles["uint8"], augment=augment, return_info=True)

    first, again, next_epoch = data[0, 8], data[8], data[1, 8]
    assert torch.equal(first["x"], again["x"])
    assert not torch.equal(first["x"], next_epoch["x"])
    assert (first["info"]["augmented"]["epoch"], next_epoch["info"]["augmented"]["epoch"]) == (0, 1)
    assert first["info"]["x_source"] == "simulated"


def test_what_cannot_be_done_to_the_samples_is_said_when_the_data_set_is_made(with_profiles: dict[str, Path]) -> None:
    augment = Augment(7, degradation=Degradation(("adt",), dropout=0.5))
    with pytest.raises(ConfigError, match=r"\['adt'\] cannot be degraded: the samples have analysed_sst"):
        patches(with_profiles["uint8"], surface=("analysed_sst",), augment=augment)
    assert patches(with_profiles["uint8"], augment=augment)
    assert patches(with_profiles["uint8"], augment=lambda sample, form, epoch: sample)[0]["row"] == 0  # any function


def test_a_fork_is_told_instead_of_hanging(with_profiles: dict[str, Path]) -> None:
    loader = DataLoader(patches(with_profiles["uint8"]), num_workers=1, multiprocessing_context="fork")

    with pytest.raises(OceanreconError, match=r"a fork of it.*multiprocessing_context='spawn'.*PatchDataModule"):
        next(iter(loader))


@pytest.fixture(scope="module")
def index(
    with_profiles: dict[str, Path], archive: Path, sources_of_profiles: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """An index of the patches of ``probe``: two rows of them for training, the southern one for validation."""
    sides = dict.fromkeys(PATCHES.ids.tolist(), "train")
    sides |= dict.fromkeys(PATCHES.ids[12:].tolist(), "val")
    table = spatial_table(PATCHES, sides, torch.zeros(60, 120).numpy())
    listed = [(patch, date, side, 1) for date in DATES for patch, side in sides.items()]
    folder = write_index(
        tmp_path_factory.mktemp("indexes") / "patches", PATCHES, table, listed,
        export=str(with_profiles["uint8"]),
        archive={"root": str(archive), "products": dict.fromkeys(PRODUCTS)},
        en4={"root": str(sources_of_profiles / "en4")},
    )  # fmt: skip
    weekly = pd.read_parquet(folder / "weekly.parquet")
    weekly.assign(export_index=np.arange(len(weekly))).to_parquet(folder / "weekly.parquet")
    return folder


def test_export_and_archive_give_the_rows_of_a_split(
    index: Path, with_profiles: dict[str, Path], archive: Path
) -> None:
    export = ExportPatches(str(with_profiles["uint8"]), str(index), split="val")
    files = ArchivePatches(str(index), split="val")

    assert export.rows.patch_id.tolist() == files.rows.patch_id.tolist() == PATCHES.ids[12:].tolist() * 3
    code, value = export[8], files[8]
    assert list(code) == list(value)
    assert torch.equal(code["y_valid_mask"], value["y_valid_mask"])
    assert torch.allclose(code["y"], value["y"], atol=0.0075)  # half a step of 0.15 K, over a deviation of 10.9
    assert code["y_valid_mask"].any()


def test_info_is_the_row_of_the_table(index: Path, with_profiles: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "index"
    shutil.copytree(index, folder)
    table = pd.read_parquet(folder / "weekly.parquet")
    rows = np.arange(len(table))
    table = table.assign(
        lat_center=rows / 7, ostia_file_path=pd.array([f"o/{row}.nc" if row % 3 else None for row in rows], "str"),
        matched_glorys_date=pd.array([20120222 if row % 2 else None for row in rows], "Int32"),
        argo_file_path=pd.array([None] * len(table), "string"),
    )  # fmt: skip
    table.to_parquet(folder / "weekly.parquet", row_group_size=5)
    export = ExportPatches(str(with_profiles["uint8"]), str(folder), split="val", return_info=True)
    validation = table[table["phase"] == "val"].reset_index(drop=True)
    for row in (0, 7, 11, len(export) - 1):
        expected: dict[str, Any] = {str(name): value for name, value in validation.loc[row].items()}
        info = export[row]["info"]
        assert info.pop("row") == row
        assert "argo_file_path" not in info  # no row has one
        del expected["argo_file_path"]
        for name, empty in (("ostia_file_path", ""), ("matched_glorys_date", -1)):
            expected[name] = empty if pd.isna(expected[name]) else expected[name]
        said = {"target_kind": "glorys", "x_source": "argo", "bathymetry_reference_date": -1}
        assert info == {**expected, **said}
    again = pickle.loads(pickle.dumps(export))
    (batch,) = list(DataLoader(again, batch_size=len(export)))
    assert batch["info"]["export_index"].tolist() == validation["export_index"].tolist()
    assert (
        ArchivePatches(str(folder), split="val", return_info=True)[5]["info"]["lat_center"]
        == validation["lat_center"][5]
    )


def test_written_samples_are_those_of_the_export_and_are_shuffled_by_file(
    index: Path, with_profiles: dict[str, Path], client: Client
) -> None:
    settings = load_settings(PatchesSettings, index / "patches.yaml")
    write = WriteSettings(output=str(index.parent / "samples"), block=4)
    assert oceanrecon.write_samples(settings.model_copy(update={"write": write}), client=client).complete
    written = WrittenPatches(write.output, split="val")
    export = ExportPatches(str(with_profiles["uint8"]), str(index), split="val")

    assert sorted(zip(written.rows.date, written.rows.patch_id, strict=True)) == sorted(
        zip(export.rows.date, export.rows.patch_id, strict=True)
    )
    ours = written[5]
    same = np.flatnonzero((export.rows.date == ours["date"]) & (export.rows.patch_id == ours["patch_id"])).item()
    theirs = export[same]
    assert all(torch.equal(ours[name], theirs[name]) for name in ours if isinstance(ours[name], torch.Tensor))
    assert max(Counter(written.shards.tolist()).values()) <= 4
    assert sorted(row for batch in ShardShuffle(written, 5) for _, row in batch) == list(range(18))


def test_written_samples_without_profiles_do_not_say_that_they_have_some(
    index: Path, client: Client, tmp_path: Path
) -> None:
    folder = tmp_path / "index"
    shutil.copytree(index, folder)
    places = pd.read_parquet(folder / "patches.parquet")[["patch_id", "lat0", "lat1", "lon0", "lon1"]]
    table = pd.read_parquet(folder / "weekly.parquet").merge(places, on="patch_id")
    table.assign(matched_glorys_file_path="").to_parquet(folder / "weekly.parquet")
    write = WriteSettings(output=str(tmp_path / "samples"), form="npy", bands=(0, 2))
    settings = load_settings(PatchesSettings, folder / "patches.yaml")
    settings = settings.model_copy(update={"output": str(folder), "write": write})
    assert oceanrecon.write_samples(settings, client=client).complete
    written = partial(WrittenPatches, write.output, return_info=True)
    assert written()[0]["info"]["x_source"] == "none"
    augment = Augment(7, simulation=Simulation("columns", columns=5))
    assert written(augment=augment)[0]["info"]["x_source"] == "simulated"


def test_the_flags_that_count_are_those_of_the_index(
    index: Path, with_profiles: dict[str, Path], client: Client, tmp_path: Path
) -> None:
    strict, export = tmp_path / "index", str(with_profiles["uint8"])
    shutil.copytree(index, strict)
    manifest = yaml.safe_load((strict / "manifest.yaml").read_text())
    manifest["profiles"]["quality"] = [1]
    (strict / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    settings = load_settings(PatchesSettings, strict / "patches.yaml")
    settings = settings.model_copy(
        update={
            "output": str(strict),
            "rows": settings.rows.model_copy(update={"quality": (1,)}),
            "write": WriteSettings(output=str(tmp_path / "samples")),
        }
    )
    (strict / "patches.yaml").write_text(dump_settings(settings))
    assert oceanrecon.write_samples(settings, client=client).complete

    written = WrittenPatches(str(tmp_path / "samples"), split="val")
    loaded = ExportPatches(export, str(strict), split="val")
    files = ArchivePatches(str(strict), split="val")
    at = {(row["date"], row["patch_id"]): row for row in (written[number] for number in range(len(written)))}
    good = 0
    for number in range(len(loaded)):
        ours, archived = loaded[number], files[number]
        theirs = at.pop((ours["date"], ours["patch_id"]))
        assert torch.equal(ours["x"], theirs["x"]) and torch.equal(ours["x_valid_mask"], theirs["x_valid_mask"])
        assert torch.equal(ours["x_valid_mask"], archived["x_valid_mask"])
        good += int(ours["x_valid_mask"].sum())
    wide = ExportPatches(export, str(strict), split="val", quality=(1, 2))
    assert not at and 0 < good < sum(int(wide[row]["x_valid_mask"].sum()) for row in range(len(wide)))


def test_what_the_sides_were_not_told_apart_by_is_refused(
    index: Path, with_profiles: dict[str, Path], archive: Path, tmp_path: Path
) -> None:
    export = str(with_profiles["uint8"])
    assert len(ExportPatches(export, str(index), split="val", days=5)) == 18
    for data in (partial(ExportPatches, export), ArchivePatches):
        with pytest.raises(ConfigError, match=r"days=9 is more than the 7 days .*make the index with rows.days=9"):
            data(str(index), split="val", days=9)

    def told(change: Callable[[dict[str, Any]], None]) -> str:
        """What is wrong with an index whose manifest is changed."""
        other = tmp_path / f"index{len(list(tmp_path.iterdir()))}"
        shutil.copytree(index, other)
        manifest = yaml.safe_load((other / "manifest.yaml").read_text())
        change(manifest)
        (other / "manifest.yaml").write_text(yaml.safe_dump(manifest))
        try:
            ExportPatches(export, str(other), split="val")
        except ConfigError as error:
            return str(error)
        return ""

    # the surface fields of the export are means over seven days
    def of_three_days(manifest: dict[str, Any]) -> None:
        manifest["days"] = manifest["footprint"]["days"] = 3

    def with_export(manifest: dict[str, Any]) -> None:
        of_three_days(manifest)
        manifest["footprint"] |= {"window_days": 7, "target_dates": list(DATES)}

    def with_other_targets(manifest: dict[str, Any]) -> None:
        with_export(manifest)
        manifest["footprint"]["target_dates"].remove(20120229)

    def with_other_files(manifest: dict[str, Any]) -> None:
        manifest["footprint"]["glorys_dates"] = [20120222, 20120308]

    assert "its surface fields of 20120222 are means over 7 days" in told(of_three_days)
    assert told(with_export) == ""
    assert "its surface fields of 20120229 are means over 7 days" in told(with_other_targets)
    message = told(with_other_files)
    assert "its target of 20120307 is the reanalysis of 20120307" in message
    assert f"make an index with `export: {export}` in its settings" in message


def test_a_split_without_rows_and_an_index_of_another_grid_are_errors(
    index: Path, with_profiles: dict[str, Path], tmp_path: Path
) -> None:
    export = str(with_profiles["uint8"])
    with pytest.raises(ConfigError, match="no rows of split 'test'"):
        ExportPatches(export, str(index), split="test")
    with pytest.raises(ConfigError, match=r"give either `index`.* or `rows`"):
        ExportPatches(export)
    bare = tmp_path / "bare"
    shutil.copytree(index, bare)
    pd.read_parquet(bare / "weekly.parquet").assign(argo_valid=np.int8(0)).to_parquet(bare / "weekly.parquet")
    splits: tuple[SplitName, ...] = ("all", "val")
    for split in splits:
        with pytest.raises(
            ConfigError, match=rf"no rows of split '{split}' .*none of these has a profile: take require"
        ):
            ExportPatches(export, str(bare), split=split)
    other = replace(PATCHES, grid=replace(PATCHES.grid, dx=1.5, width=240))
    table = spatial_table(other, {0: "train"}, torch.zeros(60, 240).numpy())
    wrong = write_index(tmp_path / "index", other, table, [(0, 20120222, "train", 1)], export=export)
    with pytest.raises(ConfigError, match="is an index of another grid"):
        ExportPatches(export, str(wrong))


def test_without_torch_the_extra_is_named() -> None:
    code = """
import sys
sys.modules["torch"] = None
from oceanrecon.training.data import ExportPatches
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert "ExportPatches needs torch, which is not installed: in your clone" in result.stderr
