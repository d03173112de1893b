"""Risk: written samples that show the workers or an interruption, or an index that tells of what is not there."""

from __future__ import annotations

import csv
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml
from distributed import Client

from oceanrecon.config import parse_settings
from oceanrecon.errors import ConfigError, LeaseError, OutputError
from oceanrecon.patch_config import PatchesSettings
from oceanrecon.pipeline.patches.verify import verify_samples
from oceanrecon.pipeline.patches.write import run_write
from oceanrecon.pipeline.patches.write_plan import RowBlock, encode_rows, plan_rows, read_block, rows_of
from oceanrecon.pipeline.patches.write_source import open_source, origin_of
from oceanrecon.pipeline.tasks import Progress
from oceanrecon.samples.form import Sample
from oceanrecon.samples.index import read_index
from oceanrecon.samples.written import open_written
from oceanrecon.stores.files import Root
from tests.archives import copied, files_of, litter
from tests.conftest import Ran
from tests.pipeline.profiles.tiny import threads
from tests.samples.written_rows import DATES, planned, table_of

FORMS = ("zarr", "geotiff", "npy")
INDEX = {"zarr": "samples.csv", "geotiff": "manifest.csv", "npy": "patch_index_with_paths.csv"}
OF_THE_RUN = ("created_utc", "output_dir")


def bytes_of(output: Path) -> dict[str, bytes]:
    """Everything but receipts (which have timings), what the run was, and settings."""
    left = ("receipts/", "samples.yaml", "manifest.yaml")
    return {path: data for path, data in files_of(output).items() if not path.startswith(left)}


def manifest_of(output: Path) -> dict[str, object]:
    content = yaml.safe_load((output / "manifest.yaml").read_text())
    return {key: value for key, value in content.items() if key not in OF_THE_RUN}


def rows_of_index(output: Path, form: str) -> list[dict[str, str]]:
    with open(output / INDEX[form], newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(None not in row and None not in row.values() for row in rows)
    return rows


class Stop:
    """Interrupts a run after so many blocks, as Ctrl-C does."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, progress: Progress) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def undisturbed(with_profiles: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """All forms by one worker."""
    top = tmp_path_factory.mktemp("undisturbed")
    with threads(1) as one:
        for form in FORMS:
            assert run_write(planned(with_profiles["uint8"], top / form, form, block=2), one).complete
    return {form: top / form for form in FORMS}


@pytest.mark.parametrize("form", FORMS)
def test_two_workers_and_an_interruption_leave_the_same_bytes(
    form: str, undisturbed: dict[str, Path], with_profiles: dict[str, Path], tmp_path: Path, client: Client
) -> None:
    output = tmp_path / form
    plan = planned(with_profiles["uint8"], output, form, block=2)
    assert len(plan.blocks) == 12
    with pytest.raises(KeyboardInterrupt):
        run_write(plan, client, on_progress=Stop(6))
    assert not litter(output)
    half = rows_of_index(output, form)
    assert len(half) == 12
    # shuffled blocks: a part of the output is of all dates
    assert {int(row["date"]) for row in half} == set(DATES)
    samples = ("parts/", "samples.zarr/y/c/", "glorys/", "y_npy/")
    kept = {path: (output / path).stat().st_ino for path in bytes_of(output) if path.startswith(samples)}
    with pytest.warns(UserWarning, match="has not finished"):
        part = open_written(str(output))
    assert len(part) == len([row for row in half if not row.get("export_skipped_reason")])
    with pytest.raises(OutputError, match=r"holds a set of written samples: add --resume"):
        run_write(plan, client)
    result = run_write(plan, client, resume=True)
    assert result.complete
    assert not litter(output)
    assert result.blocks_kept >= 6
    assert result.blocks_kept + result.blocks_made == 12
    assert bytes_of(output) == bytes_of(undisturbed[form])
    assert manifest_of(output) == manifest_of(undisturbed[form]) | {"patch_index": str(tmp_path / "index")}
    assert kept == {path: (output / path).stat().st_ino for path in kept}
    again = run_write(plan, client, resume=True)
    assert (again.blocks_made, again.blocks_kept, again.written) == (0, 12, result.written)


@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_vanished_costs_its_rows_only(
    form: str, undisturbed: dict[str, Path], with_profiles: dict[str, Path], tmp_path: Path, client: Client
) -> None:
    export = copied(with_profiles["uint8"], tmp_path / "export")
    output = tmp_path / "out"
    # the second date begins in the middle of the third block of three rows
    plan = planned(export, output, form, block=3)
    shard = export / "dense.zarr/thetao/c/1/0/0/0"
    content = shard.read_bytes()
    shard.unlink()
    result = run_write(plan, client)
    assert not result.complete
    assert [failure.name for failure in sorted(result.failures, key=lambda failure: failure.name)] == [
        "000002", "000003", "000004", "000005",
    ]  # fmt: skip
    for failure in result.failures:
        assert "thetao/c/1/0/0/0 is not there; " in failure.message
    assert any("row 8 (patch 1815, 20120229)" in failure.message for failure in result.failures)
    assert {int(row["date"]) for row in rows_of_index(output, form)} == {DATES[0], DATES[2]}
    reader = open_written(str(output))
    assert set(reader.rows.date.tolist()) == {DATES[0], DATES[2]}
    assert len(reader.samples(range(len(reader)))) == len(reader) == result.written
    shard.write_bytes(content)
    mended = run_write(plan, client, resume=True)
    assert (mended.complete, mended.blocks_made, mended.blocks_kept) == (True, 4, 4)
    if form != "zarr":  # whose shards are blocks, which are of another size here
        wanted = bytes_of(undisturbed[form])
        assert {path: data for path, data in bytes_of(output).items() if not path.startswith("parts")} == {
            path: data for path, data in wanted.items() if not path.startswith("parts")
        }


def test_other_rows_or_another_export_are_written_anew(
    with_profiles: dict[str, Path], tmp_path: Path, client: Client
) -> None:
    export = copied(with_profiles["uint8"], tmp_path / "export")
    output = tmp_path / "out"
    assert run_write(planned(export, output, "geotiff", block=2), client).written > 0
    fewer = table_of().slice(6, 7)
    result = run_write(planned(export, output, "geotiff", fewer, block=2), client, resume=True)
    assert (result.rows, result.blocks_made, result.blocks_kept) == (7, 4, 0)
    there = sorted(path for path in files_of(output) if path.startswith("glorys/"))
    assert there == sorted(row["glorys_tif_path"] for row in rows_of_index(output, "geotiff") if row["glorys_tif_path"])
    manifest = yaml.safe_load((export / "manifest.yaml").read_text())
    next(entry for entry in manifest["dense"]["shards"]["glorys"]["thetao"] if entry["date"] == 20120229)["sha256"] = (
        "x"
    )
    (export / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    result = run_write(planned(export, output, "geotiff", fewer, block=2), client, resume=True)
    assert (result.blocks_made, result.blocks_kept) == (3, 1)  # rows 6 and 7 are of the first date
    with pytest.raises(OutputError, match=r"made with other settings \(form: geotiff there, npy here\)"):
        run_write(planned(export, output, "npy", fewer, block=2), client, resume=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").touch()
    with pytest.raises(OutputError, match=r"has files in it but is no set of written samples"):
        run_write(planned(export, tmp_path / "mine"), client, overwrite=True)


def samples_by_row(output: Path) -> dict[tuple[int, int], Sample] | None:
    """What a reader finds by patch and date; ``None``: nothing that looks like samples."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader = open_written(str(output))
    except OutputError as error:
        assert "has no written samples" in str(error)
        return None
    found = reader.samples(range(len(reader)))
    return {(sample.patch_id, sample.date): sample for sample in found}


@pytest.mark.parametrize("form", FORMS)
def test_a_kill_at_any_change_leaves_an_index_of_files_that_are_there_and_its_own(
    form: str, undisturbed: dict[str, Path], with_profiles: dict[str, Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    output, truth = tmp_path / "out", samples_by_row(undisturbed[form])
    assert truth is not None
    names = zip(*(table_of()[name].to_pylist() for name in ("patch_id", "date")), strict=True)
    table = table_of().filter(pa.array([name in truth for name in names]))
    keys = list(truth)
    shifted = pa.concat_tables([table.slice(0, 2), table.slice(3, 4)])  # the first block stays, all others move on
    known: list[set[tuple[int, int]] | None] = []
    complete: list[bool] = []
    wrong: list[str] = []

    def as_a_kill_here_leaves_it() -> None:
        try:
            complete.append((output / "manifest.yaml").exists())
            found = samples_by_row(output)
            known.append(None if found is None else set(found))
            for key, sample in (found or {}).items():
                for name in ("surface", "points", "coords"):
                    np.testing.assert_array_equal(getattr(sample, name), getattr(truth[key], name))
                np.testing.assert_array_equal(sample.target["temperature"], truth[key].target["temperature"])
        except Exception as error:
            wrong.append(f"change {len(known)}: {error!r}")

    monkeypatch.setattr("oceanrecon.pipeline.patches.write._EVERY", 0.0)  # the index anew after each block
    monkeypatch.setattr("oceanrecon.pipeline.patches.write._SHARE", 0.0)
    with threads(1) as one:
        before = run_write(planned(with_profiles["uint8"], output, form, table.slice(0, 6), block=2), one)
        first = set(samples_by_row(output) or ())
        monkeypatch.setattr("oceanrecon.stores.files._ask", as_a_kill_here_leaves_it)
        result = run_write(planned(with_profiles["uint8"], output, form, shifted, block=2), one, resume=True)
        monkeypatch.undo()
    last = set(samples_by_row(output) or ())
    assert (before.complete, result.complete, result.blocks_kept, result.blocks_made) == (True, True, 1, 2)
    assert not wrong
    assert complete == sorted(complete, reverse=True) and True in complete and False in complete
    assert (first, last) == (set(keys[:6]), {*keys[:2], *keys[3:7]})
    for rows, marked in zip(known, complete, strict=True):
        if marked:
            assert rows == first
        elif rows is None:
            assert form == "zarr"  # whose metadata are several files
        else:
            assert rows == first or set(keys[:2]) <= rows <= last
    assert {len(rows) for rows in known if rows} == {2, 4, 6}


def test_a_task_reads_its_rows_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oceanrecon.pipeline.patches.write_plan._GROUP", 5)
    root, table = Root(str(tmp_path)), table_of()
    root.write("rows.parquet", encode_rows(table))
    for start, stop in ((0, 5), (3, 5), (4, 6), (5, 10), (2, 17), (20, 24), (23, 24)):  # ends of groups, one, several
        assert read_block(root, RowBlock(0, start, stop, "")).equals(table.slice(start, stop - start))


def test_verify_counts_the_rows_of_the_manifest(undisturbed: dict[str, Path], tmp_path: Path) -> None:
    output = copied(undisturbed["npy"], tmp_path / "out")
    assert verify_samples(str(output)).good
    (output / "receipts/blocks/000003.json").rename(tmp_path / "receipt")
    (problem,) = verify_samples(str(output)).problems
    assert (problem.kind, problem.path) == ("unfinished", "manifest.yaml")
    assert "counts 24 rows as written, and the receipts of the blocks 22: run `oceanrecon patches" in problem.message
    (tmp_path / "receipt").rename(output / "receipts/blocks/000003.json")
    (output / "y_npy/00000007.npy").write_bytes(b"damaged")
    assert not verify_samples(str(output), discard_bad=True).good
    # what is left is no longer said to be all
    assert [problem.path for problem in verify_samples(str(output)).problems] == ["manifest.yaml"]
    with pytest.warns(UserWarning, match="has not finished"):
        open_written(str(output))


def test_two_runs_do_not_write_to_one_output(with_profiles: dict[str, Path], tmp_path: Path, client: Client) -> None:
    plan = planned(with_profiles["uint8"], tmp_path / "out", block=12)
    refused = r"out is being written by a run of `oceanrecon patches write` "
    told: list[Progress] = []

    def second(progress: Progress) -> None:
        told.append(progress)
        with pytest.raises(LeaseError, match=refused):
            run_write(plan, client, overwrite=True)
        with pytest.raises(LeaseError, match=refused):
            verify_samples(str(tmp_path / "out"), discard_bad=True)

    assert run_write(plan, client, on_progress=second).complete and told
    assert verify_samples(str(tmp_path / "out"), discard_bad=True).good  # the first has let go of it


def test_what_cannot_be_written_is_refused_first(
    with_profiles: dict[str, Path], exported: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        ConfigError, match=r"no gridded profiles; samples of the form npy have none either.*profiles gr"
    ):
        planned(exported, tmp_path / "o", "npy")
    with pytest.raises(ConfigError, match=r"holds temperature only: leave `scenario` out"):
        planned(with_profiles["uint8"], tmp_path / "o", "geotiff", scenario="joint")
    with pytest.raises(ConfigError, match=r"write.bands \[0, 9\] go beyond the 3 levels"):
        planned(with_profiles["uint8"], tmp_path / "o", "npy", bands=[0, 9])
    with pytest.raises(ConfigError, match=r"has no thetao of 20200101"):
        planned(with_profiles["uint8"], tmp_path / "o", table=table_of((20200101,)))


def test_without_an_export_the_archive_is_written(
    archive: Path, exported: Path, sources_of_profiles: Path, tmp_path: Path, client: Client
) -> None:
    data = {
        "archive": {"root": str(archive), "products": {"glorys": None, "ostia": None}},
        "en4": {"root": str(sources_of_profiles / "en4")},
        "tiling": {"mask": str(exported / "masks/land_mask.tif")},
        "output": str(tmp_path / "index"),
    }
    rows = table_of().slice(6, 4)  # of two dates
    wanted: list[Sample] = []
    for form, more in (("zarr", {"surface": ["analysed_sst"]}), ("npy", {"bands": [0, 2]})):
        write = {"output": str(tmp_path / form), "form": form, **more}
        plan = plan_rows(parse_settings(PatchesSettings, {**data, "write": write}, "test"), rows, 20)
        assert run_write(plan, client).complete
        samples = open_written(str(tmp_path / form)).samples(range(4))
        wanted = wanted or open_source(plan.recipe.settings, rows_of(rows, 20)).samples(range(4))
        for read, one in zip(samples, wanted, strict=True):
            values = one.target["temperature"]
            assert values.dtype == np.float32
            if form == "zarr":
                np.testing.assert_array_equal(read.target["temperature"], values)
                np.testing.assert_array_equal(read.surface, one.surface)
                np.testing.assert_array_equal(read.observed["temperature"], one.observed["temperature"])
                assert one.points.size
            else:
                np.testing.assert_allclose(read.target["temperature"], values[2:], rtol=1e-6)


def test_samples_of_days_stay_those_of_the_archive_where_the_export_is_as_usual(
    archive: Path, with_profiles: dict[str, Path], sources_of_profiles: Path, tmp_path: Path
) -> None:
    strict = tmp_path / "strict"
    strict.mkdir()
    manifest = (with_profiles["uint8"] / "manifest.yaml").read_text()
    (strict / "manifest.yaml").write_text(manifest.replace("valid_fraction: 0.5", "valid_fraction: 0.9"))
    data = {
        "archive": {"root": str(archive), "products": {"glorys": None, "ostia": None}},
        "en4": {"root": str(sources_of_profiles / "en4")},
        "rows": {"frequency": "daily"},
        "tiling": {"mask": str(with_profiles["uint8"] / "masks/land_mask.tif")},
        "output": str(tmp_path / "index"),
        "write": {"output": str(tmp_path / "out"), "surface": ["analysed_sst"]},
    }
    exports: tuple[dict[str, str], ...] = ({}, {"export": str(with_profiles["uint8"])}, {"export": str(strict)})
    alone, usual, other = (
        origin_of(parse_settings(PatchesSettings, data | export, "test"), [20120229]).identity for export in exports
    )
    assert alone == usual != other


def test_the_command_says_where_and_how_to_read(
    with_profiles: dict[str, Path], tmp_path: Path, command: Callable[..., Ran], shared_cluster: None
) -> None:
    settings = tmp_path / "patches.yaml"
    settings.write_text(
        yaml.safe_dump(
            {
                "export": str(with_profiles["uint8"]),
                "output": str(tmp_path / "index"),
                "tiling": {"tile": 20, "max_land_fraction": 0.9},
                "split": {"method": "patch", "val": 0.3, "test": 0},
                "write": {"output": str(tmp_path / "out"), "split": "val", "limit": 5, "block": 3},
            }
        )
    )
    code, _, err = command("patches", "write", settings)
    assert (code, "patches index" in err) == (1, True)
    assert command("patches", "index", settings)[0] == 0
    code, out, err = command("patches", "write", settings)
    assert code == 0, err
    assert f"5 of 5 samples as zarr in {tmp_path / 'out'}" in out
    assert f'WrittenPatches("{tmp_path / "out"}", split="val")' in out
    reader = open_written(str(tmp_path / "out"), "val")
    index = read_index(str(tmp_path / "index"))
    assert reader.rows.patch_id.tolist() == index.rows("val").patch_id[:5].tolist()
    assert command("patches", "write", settings)[0] == 1
    code, out, _ = command("verify", tmp_path / "out")
    assert code == 0 and "2 blocks" in out and "all good" in out
    shard = next(path for path in (tmp_path / "out/samples.zarr/y/c").rglob("*") if path.is_file())
    kept = shard.read_bytes()
    shard.write_bytes(kept[:-9] + b"damaged!!")
    code, out, _ = command("verify", tmp_path / "out", "--json")
    assert code == 1 and [problem["kind"] for problem in json.loads(out)["problems"]] == ["altered"]
    shard.write_bytes(kept)
    (tmp_path / "out/manifest.yaml").rename(tmp_path / "manifest.yaml")  # as an interruption leaves it
    with pytest.warns(UserWarning, match=r"has not finished: these samples are a part of it; .*--resume"):
        open_written(str(tmp_path / "out"))
    (tmp_path / "manifest.yaml").rename(tmp_path / "out/manifest.yaml")
    code, out, _ = command("patches", "write", settings, "--resume", "--json")
    assert (code, json.loads(out)["blocks_kept"]) == (0, 2)
    code, _, err = command("patches", "write", settings, "--set", "write.split=test", "--overwrite")
    assert (code, "no rows of split 'test'" in err) == (1, True)
