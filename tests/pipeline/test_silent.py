"""Nothing wrong passes in silence: blank rasters, other units, windows that overflow, half-finished bookkeeping."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from pathlib import Path

import netCDF4
import pytest
from distributed import Client

from oceanrecon.config import dump_settings
from oceanrecon.errors import ArchiveError, ConfigError, OutputError
from oceanrecon.grid import window_days
from oceanrecon.pipeline.inspect import inspect_export
from oceanrecon.pipeline.inventory import update_inventory
from oceanrecon.pipeline.output import GUARD
from oceanrecon.pipeline.plan import plan
from oceanrecon.pipeline.recipe import SETTINGS
from oceanrecon.pipeline.verify import verify
from oceanrecon.service.run import export
from oceanrecon.sources.glorys import PRODUCT as GLORYS
from oceanrecon.sources.stated import product_files
from oceanrecon.stores.files import Root
from oceanrecon.stores.receipts import Failure, read_failures, write_failure
from tests.archives import DAILY, WEEKLY, copied, files_of, glorys, only, ostia, settings, truncate


def test_celsius_that_calls_itself_kelvin_is_a_failure_and_not_a_blank_raster(tmp_path: Path, client: Client) -> None:
    glorys(tmp_path / "archive", WEEKLY[0], units="kelvin")
    output = tmp_path / "export"
    result = export(settings(tmp_path, output, archive=only("glorys", archive=tmp_path / "archive")), client=client)
    assert [(failure.variable, failure.error) for failure in result.failures] == [("thetao", "SourceError")]
    assert "no value of thetao is plausible (268.15 to 318.15 K)" in result.failures[0].message
    assert not list((output / "rasters/glorys").glob("thetao/*"))
    assert inspect_export(str(output))["variables"][0]["variable"] == "so"


def test_one_day_of_a_window_in_other_units_than_it_says_is_named(tmp_path: Path, client: Client) -> None:
    root = tmp_path / "archive"
    for date in DAILY[:7]:
        ostia(root, date)
    bad = ostia(root, DAILY[2], units="celsius")
    result = export(
        settings(root, tmp_path / "export", archive=only("ostia", archive=root), targets={"dates": [WEEKLY[0]]}),
        client=client,
    )
    assert len(result.failures) == 1
    assert bad.name in result.failures[0].message
    assert "units" in result.failures[0].message


def test_big_endian_numbers_are_numbers(tmp_path: Path, archive: Path, client: Client) -> None:
    root = copied(archive, tmp_path / "archive")
    for path in (root / "sealevel").glob("*.nc"):
        with netCDF4.Dataset(path) as old:
            old.set_auto_maskandscale(False)
            values = {name: (old[name].dimensions, old[name][:], old[name].__dict__) for name in old.variables}
            sizes = {name: len(size) for name, size in old.dimensions.items()}
        with netCDF4.Dataset(path, "w") as new:
            for name, size in sizes.items():
                new.createDimension(name, size)
            for name, (dimensions, stored, attributes) in values.items():
                kept = new.createVariable(name, stored.dtype.newbyteorder(">"), dimensions, endian="big")
                kept.set_auto_maskandscale(False)
                kept.setncatts(attributes)
                kept[:] = stored
    outputs = []
    for number, source in enumerate((archive, root)):
        output = tmp_path / str(number)
        assert export(settings(source, output, archive=only("sealevel", archive=source),
                               targets={"dates": list(WEEKLY)}), client=client).complete  # fmt: skip
        outputs.append(files_of(output, "dense.zarr"))
    assert outputs[0] == outputs[1]


def test_a_product_without_a_usable_file_does_not_stop_the_others(
    tmp_path: Path, archive: Path, client: Client
) -> None:
    root = copied(archive, tmp_path / "archive")
    for path in (root / "sss").glob("*.nc"):
        truncate(path)
    result = export(settings(root, tmp_path / "export"), client=client)
    assert result.written == 4 * len(WEEKLY)
    assert {failure.variable for failure in result.failures} == {"sos", "dos"}
    assert len(result.failures) == 2 * len(WEEKLY)


def test_a_window_longer_than_a_byte_counts_is_refused() -> None:
    with pytest.raises(ConfigError, match="257 days is longer than 255"):
        window_days(WEEKLY[0], 257)
    with pytest.raises(ConfigError, match="window_days"):
        settings(Path("a"), "b", window_days=257)


def test_levels_cannot_be_averaged_over_a_window() -> None:
    with pytest.raises(ValueError, match="'thetao' has levels"):
        dataclasses.replace(GLORYS, windowed=True)


@pytest.mark.parametrize("setting", [{"variables": []}, {"archive": {"root": "a", "products": {}}}])
def test_nothing_to_export_is_said_at_once(setting: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="at least 1 item"):
        settings(Path("a"), "b", **setting)


def test_an_inventory_knows_the_files_of_the_settings(tmp_path: Path, archive: Path) -> None:
    root = copied(archive, tmp_path / "archive")
    for path in (root / "glorys").glob("*.nc"):
        path.rename(path.with_name(f"mine_{path.name}"))  # no product's name any more
    files = {"root": str(root), "products": {"glorys": {"path": "glorys", "files": "mine_*_mean_20120229_*.nc"}}}
    scanned = plan(settings(root, tmp_path / "export", archive=files))
    inventory = str(tmp_path / "inventory.parquet")
    update_inventory(str(root), inventory)
    with pytest.raises(ArchiveError, match="no file of product 'glorys' as archive"):
        plan(settings(root, tmp_path / "export", archive=files | {"inventory": inventory}))
    update_inventory(str(root), inventory, products=product_files(settings(root, "x", archive=files).archive))
    known = plan(settings(root, tmp_path / "export", archive=files | {"inventory": inventory}))
    assert [block.sources for block in known.blocks] == [block.sources for block in scanned.blocks]
    elsewhere = files | {"inventory": inventory, "root": str(tmp_path)}
    with pytest.raises(ArchiveError, match="which is not in"):
        plan(settings(tmp_path, tmp_path / "export", archive=elsewhere))


def test_a_failure_left_beside_a_receipt_by_a_kill_is_forgotten(tmp_path: Path, exported: Path, archive: Path,
                                                               client: Client) -> None:  # fmt: skip
    output = copied(exported, tmp_path / "export")
    write_failure(Root(str(output)), Failure("sealevel", "adt", "20120229", "SourceError", "it was bad once"))
    assert not verify(str(output)).good
    result = export(settings(archive, output), client=client, resume=True)
    assert (result.written, result.complete) == (0, True)
    assert read_failures(Root(str(output))) == []
    assert verify(str(output)).good


@pytest.mark.parametrize("stage", range(len(GUARD.folders) + 1))
@pytest.mark.parametrize("how", ["resume", "overwrite"])
def test_an_overwrite_that_was_killed_goes_on(
    tmp_path: Path, exported: Path, archive: Path, client: Client, monkeypatch: pytest.MonkeyPatch, stage: int, how: str
) -> None:
    """Killed before, between or after the removals: what comes next has nothing of the older export in it."""
    output = copied(exported, tmp_path / "export")
    other = {"encoding": "uint16", "variables": ["adt", "sos"], "targets": {"start": str(WEEKLY[1])}}
    with monkeypatch.context() as patched:
        removals = iter(range(stage))
        remove_tree = Root.remove_tree

        def killed(self: Root, rel: str) -> None:
            if next(removals, None) is None:
                raise KeyboardInterrupt
            remove_tree(self, rel)

        patched.setattr(Root, "remove_tree", killed)
        if stage < len(GUARD.folders):
            with pytest.raises(KeyboardInterrupt):
                export(settings(archive, output, **other), client=client, overwrite=True)
        else:
            assert export(settings(archive, output, **other), client=client, overwrite=True).complete
    assert export(settings(archive, output, **other), client=client, **{how: True}).complete  # type: ignore[arg-type]
    assert verify(str(output)).good
    fresh = tmp_path / "fresh"
    assert export(settings(archive, fresh, **other), client=client).complete
    assert files_of(output, "rasters", "dense.zarr", "masks") == files_of(fresh, "rasters", "dense.zarr", "masks")
    assert sorted(path.name for path in output.iterdir()) == sorted(path.name for path in fresh.iterdir())


def test_a_folder_of_the_user_is_never_overwritten(
    tmp_path: Path, archive: Path, exported: Path, client: Client
) -> None:
    mine = tmp_path / "mine"
    (mine / "masks").mkdir(parents=True)
    (mine / "masks/precious.tif").write_text("precious")
    (mine / "export.yaml").write_text(dump_settings(settings(archive, mine)))
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="is no export"):
            export(settings(archive, mine), client=client, overwrite=overwrite, resume=not overwrite)
    assert (mine / "masks/precious.tif").read_text() == "precious"
    other = copied(exported, tmp_path / "other")
    with pytest.raises(OutputError, match=r"would remove .*land_mask\.tif, which the settings read"):
        export(
            settings(archive, other, grid={"mask": str(other / "masks/land_mask.tif")}), client=client, overwrite=True
        )
    assert verify(str(other)).good


def test_good_blocks_are_kept_where_only_their_sources_are_gone(tmp_path: Path, archive: Path, client: Client) -> None:
    root, output = copied(archive, tmp_path / "archive"), tmp_path / "export"
    assert export(settings(root, output), client=client).complete
    before = files_of(output, "receipts", "rasters")
    root.rename(tmp_path / "unmounted")
    assert {problem.kind for problem in verify(str(output), discard_bad=True).problems} == {"stale"}
    assert {problem.kind for problem in verify(str(output), deep=True, discard_bad=True).problems} == {"unchecked"}
    assert files_of(output, "receipts", "rasters") == before


def test_lost_metadata_forgets_no_time_and_no_variable(
    tmp_path: Path, exported: Path, archive: Path, client: Client
) -> None:
    output = copied(exported, tmp_path / "export")
    (output / "dense.zarr/zarr.json").unlink()
    later = settings(archive, output, targets={"start": str(WEEKLY[1])}, variables=["adt"])
    result = export(later, client=client, resume=True)
    assert (result.written, result.kept) == (0, 2)
    assert files_of(output, "dense.zarr") == files_of(exported, "dense.zarr")


def test_a_later_revision_that_is_broken_is_not_passed_over(tmp_path: Path, archive: Path) -> None:
    root = copied(archive, tmp_path / "archive")
    truncate(glorys(root, WEEKLY[1], revision=dt.date(2020, 1, 1)))
    planned = plan(settings(root, tmp_path / "export", archive=only("glorys", archive=root)))
    assert {(gap.variable, gap.date) for gap in planned.missing} == {("thetao", WEEKLY[1]), ("so", WEEKLY[1])}
    assert "R20200101.nc: truncated" in planned.missing[0].message


def test_an_overwrite_leaves_nothing_of_what_was_there(
    tmp_path: Path, exported: Path, archive: Path, client: Client
) -> None:
    output = copied(exported, tmp_path / "export")
    (output / "quicklook").mkdir()
    (output / "quicklook/index.html").write_text("figures of the export before")
    more = {"variables": ["adt"], "formats": {"geotiff": {}}}
    assert export(settings(archive, output, **more), client=client, overwrite=True).complete
    assert not (output / "quicklook").exists()
    assert not (output / "dense.zarr").exists()
    assert [path.name for path in (output / "rasters").iterdir()] == ["sealevel"]
    assert (output / SETTINGS).exists()


def test_a_path_out_of_the_export_in_a_receipt_is_one_problem_of_many(tmp_path: Path, exported: Path) -> None:
    output = copied(exported, tmp_path / "export")
    receipt = output / "receipts/adt/adt_20120229.json"
    stored = json.loads(receipt.read_text())
    stored["files"][0]["path"] = "../../outside.tif"
    receipt.write_text(json.dumps(stored))
    problems = verify(str(output)).problems
    assert any("not a path inside" in problem.message for problem in problems)
    assert len(problems) < 6
