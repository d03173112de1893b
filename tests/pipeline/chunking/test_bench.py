"""Risks: one layout that fails takes the others along, work is lost or done twice, data is left behind or removed."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from distributed import Client

from oceanrecon.bench_config import READERS, ChunksBench, ReaderWeights
from oceanrecon.config import parse_settings
from oceanrecon.errors import ConfigError, OutputError
from oceanrecon.pipeline.chunking.cases import shipped
from oceanrecon.pipeline.chunking.run import ChunksResult, Place, resolved
from oceanrecon.pipeline.tasks import Progress
from oceanrecon.service.chunking import bench_chunks
from oceanrecon.stores.files import Root
from tests.pipeline.chunking.small import settings

CHUNKS: dict[str, Any] = {"chunk": [{"side": 16}, {"side": 32}]}


@pytest.fixture(scope="module")
def local() -> Iterator[Client]:
    """Workers in this process: they see its environment."""
    with Client(n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0") as client:
        yield client


@pytest.fixture(scope="module")
def benched(tmp_path_factory: pytest.TempPathFactory, local: Client) -> ChunksResult:
    grids = [CHUNKS, {"store": ["geotiff-band"], "encoding": ["uint8", "float32"]}]
    return bench_chunks(settings(tmp_path_factory.mktemp("bench") / "out", grids), client=local)


def test_every_layout_is_measured_at_every_place(benched: ChunksResult) -> None:
    assert (benched.complete, benched.kept) == (True, 0)
    assert [one.case.label for one in benched.results] == [
        "uint8 zarr 64 zstd-1", "uint8 geotiff-pixel 256 zstd-1", "uint8 zarr 16 zstd-1", "uint8 zarr 32 zstd-1",
        "uint8 geotiff-band 256 zstd-1", "float32 geotiff-band 256 zstd-1",
    ]  # fmt: skip
    for result in benched.results:
        assert [(place.place, place.near) for place in result.places] == [("disk", True), ("disk + 5 ms", False)]
        near, far = (place.write for place in result.places)
        assert near.stored_bytes == far.stored_bytes > 0
        assert (near.objects, near.tasks) == (4 + result.case.is_zarr, 4)
        assert far.requests == 4
        assert min(near.submission_seconds, near.execution_seconds, near.cpu_seconds) > 0
        assert far.wall_seconds > 4 * 0.005


def test_what_was_found_is_kept_as_json_and_as_a_table_and_the_data_is_gone(benched: ChunksResult) -> None:
    output = Path(benched.output)
    found = json.loads((output / "results.json").read_text())
    with open(output / "results.csv", newline="") as file:
        lines = list(csv.DictReader(file))

    assert found == json.loads(json.dumps(benched.to_dict()))
    assert {line["label"] for line in lines} == {one.case.label for one in benched.results}
    # a write and three reads by one reader or two, at two places
    assert len(lines) == 2 * (3 * (1 + 6) + 3 * (1 + 3))
    left = {path.name for path in output.iterdir()}
    assert left == {"bench.yaml", "cases", "field", "results.csv", "results.json"}


def test_resume_measures_only_what_is_new_and_what_failed(tmp_path: Path, local: Client) -> None:
    chosen = settings(tmp_path / "out", [CHUNKS])
    place = Place.of(chosen.all_places[1], Root(chosen.output), 1)
    obstacle = Path(place.url) / "uint8-zarr-16-zstd-1"
    obstacle.parent.mkdir(parents=True)
    obstacle.write_text("a file where a folder is to be")
    with pytest.raises(OutputError, match=r"has files in it but is no chunk benchmark"):
        bench_chunks(chosen, client=local)
    obstacle.unlink()
    obstacle.parent.rmdir()
    obstacle.parent.parent.rmdir()
    seen: list[str] = []

    def show(progress: Progress) -> None:
        seen.append(progress.message)
        if len(seen) == 1:  # once the benchmark has its folder
            obstacle.parent.mkdir(exist_ok=True)
            obstacle.write_text("a file where a folder is to be")

    first = bench_chunks(chosen, client=local, on_progress=show)
    broken = next(one for one in first.results if not one.done)
    assert not first.complete
    assert len([one for one in first.results if one.done]) == len(first.results) - 1 == 3
    assert (broken.case.label, broken.message.startswith("disk + 5 ms: cannot remove")) == (
        "uint8 zarr 16 zstd-1",
        True,
    )
    obstacle.unlink(missing_ok=True)
    with pytest.raises(OutputError, match=r"holds a chunk benchmark: add --resume"):
        bench_chunks(chosen, client=local)

    more = settings(tmp_path / "out", [CHUNKS, {"codec": ["none"]}])
    second = bench_chunks(more, client=local, resume=True)
    assert (second.complete, second.kept, len(second.results)) == (True, 3, 5)
    with pytest.raises(OutputError, match=r"made with other settings \(noise: 0.03 there, 0.1 here\)"):
        bench_chunks(more.model_copy(update={"noise": 0.1}), client=local, resume=True)


def test_an_interrupt_keeps_what_is_measured_and_leaves_no_data(tmp_path: Path, local: Client) -> None:
    chosen = settings(tmp_path / "out", [CHUNKS], places=[{"url": str(tmp_path / "place")}])
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "mine").write_text("of the user")

    def stop(progress: Progress) -> None:
        if progress.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench_chunks(chosen, client=local, on_progress=stop)
    assert not list((tmp_path / "place").rglob("*.tif"))
    result = bench_chunks(chosen, client=local, resume=True)

    assert (result.complete, result.kept) == (True, 2)
    assert [path.name for path in (tmp_path / "place").iterdir()] == ["mine"]


def test_s3_is_a_place(tmp_path: Path, bucket: str, local: Client) -> None:
    grids = [{"codec": ["none"], "chunk": [{"side": 16}]}]
    chosen = settings(tmp_path / "out", grids, places=[{"url": f"{bucket}/bench", "latency_ms": 1}, {}])
    result = bench_chunks(chosen, client=local)

    assert [one.message for one in result.results if not one.done] == []
    far, near = result.results[-1].places
    assert (far.place, far.near, near.near) == ("s3 + 1 ms", False, True)
    assert (far.write.objects, far.write.stored_bytes) == (near.write.objects, near.write.stored_bytes)
    assert [far.read(kind).requests.median for kind in ("map", "series")] == [3, 9]
    assert Root(bucket).list() == []


def test_an_export_is_a_source(tmp_path: Path, exported: Path, local: Client) -> None:
    size = {"resolution": 1, "dates": 2, "tile": 16, "patches": 2, "maps": 1, "series": 1}
    grids = [{"encoding": ["uint8", "uint16"]}]
    chosen = settings(tmp_path / "out", grids, source=str(exported), size=size, places=[{}])
    result = bench_chunks(chosen, client=local)

    assert result.complete
    assert result.shape == (2, 3, 60, 120)
    assert [one.reason for one in result.skipped] == ["the source has only uint8: more digits would be made up"]
    with pytest.raises(
        ConfigError, match=r"variable 'speed': .* has adt, analysed_sst, dos, so, sos, thetao; give one"
    ):
        bench_chunks(settings(tmp_path / "other", grids, source=str(exported), size=size, variable="speed"),
                     client=local)  # fmt: skip


def test_a_surface_variable_of_an_export_is_a_field_of_one_level(tmp_path: Path, exported: Path, local: Client) -> None:
    size = {"resolution": 1, "dates": 2, "tile": 16, "patches": 2, "maps": 1, "series": 1}
    chosen = settings(tmp_path / "out", [{}], source=str(exported), size=size, variable="adt")
    result = bench_chunks(chosen, client=local)

    assert (result.complete, result.shape) == (True, (2, 1, 60, 120))


@pytest.mark.usefixtures("shared_cluster")
def test_the_command_shows_tables_and_draws_a_page(
    tmp_path: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    chosen = settings(tmp_path / "out", [{"codec": ["none"], "chunk": [{"side": 16}, {"side": 32}]}, CHUNKS])
    config = tmp_path / "bench.yaml"
    config.write_text(yaml.safe_dump(chosen.model_dump(mode="json")))
    code, out, err = command("bench", "chunks", config)

    assert (code, err) == (0, "")
    for text in ("uint8 zarr 16 none", "disk + 5 ms", "patch training", "as shipped", "recommended"):
        assert text in out
    drawn = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"index.html", "layouts.png", "sides.png"} <= drawn
    page = (tmp_path / "out" / "index.html").read_text()
    assert "uint8 zarr 32 zstd-1" in page and "data:image/png;base64," in page

    code, out, _ = command("bench", "chunks", config, "--resume", "--json")
    found = json.loads(out)
    assert (code, found["kept"], found["complete"]) == (0, 6, True)
    assert {one["reader"] for one in found["recommended"]} == set(READERS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preset": "huge"}, r"preset: Input should be 'small', 'medium' or 'large' \(got 'huge'\)"),
        ({"preset": "small"}, r"give `preset` or `size`, not both"),
        ({"grids": []}, r"grids: Tuple should have at least 1 item"),
        ({"grids": [{"codecs": ["zstd"]}]}, r"unknown setting 'grids.0.codecs': did you mean 'codec'\?"),
        ({"grids": [{"codec": ["gzip"]}]}, r"grids.0.codec.0: Input should be 'none', 'zstd', .*\(got 'gzip'\)"),
        ({"grids": [{"chunk": [{"side": 8}]}]}, r"grids.0.chunk.0.side: Input should be greater than or equal to 16"),
        ({"places": [{}, {}]}, r"the place in output with latency_ms 0 is given twice"),
        ({"readers": {"nobody": {}}}, r"readers.nobody: all weights are 0"),
        ({"output": "s3://bucket/bench"}, r"output 's3://bucket/bench': .* measured as one of `places`"),
    ],
)
def test_wrong_settings_are_told(change: dict[str, Any], message: str) -> None:
    good = settings("bench", [{}]).model_dump(mode="json", exclude_unset=True)

    with pytest.raises(ConfigError, match=message):
        resolved(parse_settings(ChunksBench, good | change, "test"))


def test_one_worker_measures_unless_more_are_wanted(tmp_path: Path) -> None:
    alone = settings(tmp_path, [{}], cluster={"dashboard": "127.0.0.1:0"})
    several = settings(tmp_path, [{}], cluster={"workers": 3})

    assert (alone.cluster.workers, several.cluster.workers) == (1, 3)


def test_weights_of_the_settings_decide(benched: ChunksResult) -> None:
    from oceanrecon.pipeline.chunking.recommend import figures_of, recommend

    (found,) = recommend(
        [one for one in benched.results if one.case.encoding == "uint8"], {"mine": ReaderWeights(objects=1)}
    )
    # four files without metadata are fewer than four shards with it
    assert found.case == shipped("uint8")["geotiff"]
    assert found.figures == figures_of(benched.results[1])
