"""Risk: a file that is lost, short or altered, or a source of other content, is not found, or cannot be mended."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from distributed import Client

from oceanrecon.pipeline.profiles.gridded import GRIDDED
from oceanrecon.pipeline.profiles.schema import ENRICHED
from oceanrecon.pipeline.verify import verify
from tests.archives import copied, files_of
from tests.pipeline.profiles.tiny import config_of, en4_name, enrich, grid, settings

Command = Callable[..., tuple[int, str, str]]
STORE = f"argo/{GRIDDED}"


@pytest.fixture
def whole(crowd: Path, ours: Path, tmp_path: Path, client: Client) -> tuple[Path, Path]:
    """A store and an export with its profiles, to do harm to."""
    store = tmp_path / "store"
    enrich(settings(crowd, store), client)
    grid(settings(crowd, store, grid={"export": str(ours)}), client)
    return store, ours


def alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x55
    path.write_bytes(content)


def test_a_flipped_byte_is_found_wherever_it_is_and_mended(
    crowd: Path, whole: tuple[Path, Path], tmp_path: Path, client: Client, command: Command, shared_cluster: None
) -> None:
    store, export = whole
    before = files_of(store, ENRICHED, "months"), files_of(export, STORE, "argo/parts")
    config = config_of(settings(crowd, store, grid={"export": str(export)}), tmp_path)
    for root, verb, paths in (
        (store, "enrich", [f"{ENRICHED}/argo_temp_on_glorys_depth/c/0/0", f"{ENRICHED}/profile_source_file/c/0",
                           "months/2012-02/0000.parquet", "months/2012-03/rejected.parquet",
                           f"{ENRICHED}/latitude/zarr.json", f"{ENRICHED}/glorys_depth/c/0"]),
        (export, "grid", [f"{STORE}/argo_temp_kelvin_uint8/c/0/0", f"{STORE}/grid_row/c/0",
                          "argo/parts/20120222/0000.parquet", f"{STORE}/target_count/c/0", f"{STORE}/zarr.json"]),
    ):  # fmt: skip
        for path in paths:
            alter(root / path)
        code, out, err = command("verify", root, "--json")
        told = {problem["path"]: problem["kind"] for problem in json.loads(out)["problems"]}
        assert code == 1 and "Traceback" not in err and f"profiles {verb} CONFIG" in out
        assert told.keys() == set(paths)
        assert set(told.values()) == {"altered"}
        code, out, _ = command("verify", root, "--discard-bad")
        assert code == 1
        code, out, err = command("profiles", verb, config, "--resume")
        assert code == 0, out + err
        code, out, _ = command("verify", root)
        assert code == 0 and "all good" in out
    assert (files_of(store, ENRICHED, "months"), files_of(export, STORE, "argo/parts")) == before


@pytest.mark.parametrize("what", ["missing", "truncated"])
def test_a_lost_or_short_file_is_named_and_made_again(
    crowd: Path, whole: tuple[Path, Path], client: Client, what: str
) -> None:
    store, export = whole
    before = files_of(store, ENRICHED, "months"), files_of(export, STORE)
    own = store / ENRICHED / "longitude/c/0", store / "months/2012-02/0000.parquet"
    for path in (*own, export / STORE / "argo_psal_valid/c/0/0"):
        path.unlink() if what == "missing" else os.truncate(path, 20)
    from oceanrecon.pipeline.profiles.verify import verify_profiles

    found = {(problem.kind, problem.path) for problem in verify_profiles(str(store)).problems}
    assert found == {(what, path.relative_to(store).as_posix()) for path in own}
    assert {problem.kind for problem in verify(str(export)).problems} == {what}
    # sizes are enough to be made again: no need to discard
    chosen = settings(crowd, store, grid={"export": str(export)})
    enrich(chosen, client, how="resume")
    grid(chosen, client, how="resume")
    assert (files_of(store, ENRICHED, "months"), files_of(export, STORE)) == before


def test_a_source_of_other_content_is_found_by_making_it_again(
    crowd: Path, tmp_path: Path, client: Client, command: Command
) -> None:
    import netCDF4

    mine, store = copied(crowd, tmp_path / "sources"), tmp_path / "store"
    enrich(settings(mine, store), client)
    path = mine / "en4" / en4_name("2012-03")
    state = path.stat()
    with netCDF4.Dataset(path, "a") as file:
        file["PSAL_CORRECTED"][:] = 33.0
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert path.stat().st_size == state.st_size  # classic: the same values in the same places
    code, out, _ = command("verify", store)
    assert code == 0, out
    code, out, _ = command("verify", store, "--deep", "--discard-bad")
    assert code == 1 and "2012-03" in out
    assert enrich(settings(mine, store), client, how="resume").months_made == 1
    assert command("verify", store, "--deep")[0] == 0
    os.utime(path)
    code, out, _ = command("verify", store, "--json")
    assert code == 1 and '"stale"' in out and "changed since" in out
    assert command("verify", store, "--deep")[0] == 0  # touched, not changed
    path.unlink()
    code, out, _ = command("verify", store)
    assert code == 1 and "is gone" in " ".join(out.split())
