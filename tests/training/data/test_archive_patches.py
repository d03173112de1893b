"""Risk: samples of an archive that are not those of the export of their index, or not of the days of a daily one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from distributed import Client

import oceanrecon
from oceanrecon.errors import ConfigError
from oceanrecon.sources.quality import QualityMode
from oceanrecon.training.data import ArchivePatches, ExportPatches
from oceanrecon.transform.encode import stretch
from oceanrecon.transform.normalise import PUBLISHED
from tests.archives import DEPTH, PRODUCTS, settings
from tests.pipeline.patches.small_index import spatial_table, write_index
from tests.pipeline.profiles.tiny import settings as profile_settings
from tests.training.data.probe import DATES, PATCHES

LAND = np.zeros((60, 120))


def index_of(folder: Path, archive: Path, sources: Path, dates: tuple[int, ...], **given: Any) -> str:
    """An index of all patches at some dates, with the tiny archive and its EN4 files."""
    sides = dict.fromkeys(PATCHES.ids.tolist(), "train")
    return str(
        write_index(
            folder, PATCHES, spatial_table(PATCHES, sides, LAND),
            [(patch, date, "train", 1) for date in dates for patch in sides],
            archive={"root": str(archive), "products": dict.fromkeys(PRODUCTS)}, en4={"root": f"{sources}/en4"},
            **given,
        )
    )  # fmt: skip


def test_the_rows_of_a_daily_index_are_means_of_their_days(
    archive: Path, sources_of_profiles: Path, with_profiles: dict[str, Path], tmp_path: Path
) -> None:
    """23 February to 1 March: three of these days are nearest to the 22nd, four to the 29th."""
    export = with_profiles["uint16"]
    mask = str(next(export.glob("masks/*.tif")))
    folder = index_of(
        tmp_path / "daily", archive, sources_of_profiles, (20120226, 20120227), frequency="daily", tiling={"mask": mask}
    )
    daily = ArchivePatches(folder, surface=("analysed_sst",))
    weeks = ExportPatches(str(export), index_of(tmp_path / "weekly", archive, sources_of_profiles, DATES,
                                                export=str(export)))  # fmt: skip
    assert daily.rows.date.tolist() == [20120226] * 18 + [20120227] * 18
    half = stretch("temperature_kelvin", "uint16").step / 2 / PUBLISHED["temperature_kelvin"].std
    valid = 0
    for row in range(18):
        first, second, mean = weeks[row], weeks[18 + row], daily[row]
        assert mean["date"] == 20120226
        assert torch.equal(mean["y_valid_mask"], second["y_valid_mask"])
        expected = (3 * first["y"] + 4 * second["y"]) / 7
        assert torch.allclose(mean["y"], expected, rtol=0, atol=half + 4e-6)
        valid += int(mean["y_valid_mask"].sum())
        # sea surface temperature rises by half a kelvin a day, so a week's mean is that of its middle
        steps = (daily[18 + row]["eo"] - mean["eo"])[mean["eo_valid_mask"]] * PUBLISHED["temperature_kelvin"].std
        assert not steps.numel() or float(steps.median()) == pytest.approx(0.5, abs=0.01)
        assert float(mean["x_age"].abs().max()) <= 3
    assert valid > 1000
    assert ArchivePatches(folder, days=1, surface=("analysed_sst",))[0]["date"] == 20120226


def test_a_cell_is_valid_as_in_the_export_of_the_index(
    archive: Path, sources_of_profiles: Path, with_profiles: dict[str, Path], tmp_path: Path, client: Client
) -> None:
    export = tmp_path / "export"
    strict = settings(archive, export, minimum_valid_fraction=0.95, targets={"dates": ["2012-02-29"]})
    assert oceanrecon.export(strict, client=client).complete
    grid = profile_settings(
        sources_of_profiles, with_profiles["uint8"].parent / "profiles", depth=list(DEPTH), grid={"export": str(export)}
    )
    assert oceanrecon.grid_profiles(grid, client=client).complete
    folder = index_of(tmp_path / "index", archive, sources_of_profiles, (20120229,), export=str(export))

    def masks(data: Any) -> list[torch.Tensor]:
        return [data[row][name] for row in range(len(data)) for name in ("y_valid_mask", "eo_valid_mask")]

    ours = masks(ExportPatches(str(export), folder))
    assert all(torch.equal(one, other) for one, other in zip(ours, masks(ArchivePatches(folder)), strict=True))
    usual = masks(ArchivePatches(folder, minimum_valid_fraction=0.5))
    assert sum(int((one != other).sum()) for one, other in zip(ours, usual, strict=True)) > 100


def test_what_an_export_was_made_with_can_be_said(
    archive: Path, sources_of_profiles: Path, with_profiles: dict[str, Path], tmp_path: Path
) -> None:
    folder = index_of(tmp_path / "index", archive, sources_of_profiles, (20120307,), export=str(with_profiles["uint8"]))
    modes: tuple[QualityMode, ...] = ("strict", "standard")
    strict, standard = (
        sum(
            int(np.isfinite(sample.observed["temperature"]).sum())
            for sample in ArchivePatches(folder, profile_quality=mode, quality=range(10)).samples(range(18))
        )
        for mode in modes
    )
    assert 0 < strict < standard
    message = (
        r"analysed_sst: 6 of the 7 files .* 7 are needed: .*fewer `minimum_files`, more `days` \(of an index: make it "
        r'with more `rows.days`\) or missing_surface="blank", or leave the'
    )
    with pytest.raises(ConfigError, match=message):
        ArchivePatches(folder, minimum_files=7)
    far = index_of(tmp_path / "far", archive, sources_of_profiles, (20120401,), tiling={"mask": _mask(with_profiles)})
    with pytest.raises(ConfigError, match=r"thetao: .*more than 3 days from .*more `rows.max_glorys_days`\), or leave"):
        ArchivePatches(far, surface=("analysed_sst",))
    gone = index_of(tmp_path / "gone", archive, sources_of_profiles, (20120307,), export=str(tmp_path / "nowhere"),
                    tiling={"mask": _mask(with_profiles)})  # fmt: skip
    told = ArchivePatches(gone, minimum_valid_fraction=0.5)  # without a warning
    with pytest.warns(UserWarning, match=r"the export of .*gone cannot be read \(.*no folder .*nowhere.*weight of 0.5"):
        usual = ArchivePatches(gone)
    assert torch.equal(told[0]["y_valid_mask"], usual[0]["y_valid_mask"])


def _mask(with_profiles: dict[str, Path]) -> str:
    return str(next(with_profiles["uint8"].glob("masks/*.tif")))
