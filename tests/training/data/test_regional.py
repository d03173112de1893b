"""Risk: samples of a batch are mixed up, workers cannot read, or a missing value is learnt as a number."""

from __future__ import annotations

import datetime as dt
import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from oceanrecon.errors import ConfigError
from oceanrecon.samples.regional.query import VARIABLES, RegionalQuery, open_taco
from oceanrecon.samples.regional.read import Reading
from oceanrecon.samples.regional.statistics import statistics_of
from oceanrecon.training.data.regional import RegionalDataset, collate_regional
from tests.taco_files import plane, small

_FIRST, _LAST = dt.date(2024, 1, 10), dt.date(2024, 1, 11)
#: The first has cells of altimeters, two have points, the last is on a day that the dataset does not have.
_QUERIES = (
    RegionalQuery((-90, 0, -80, 10), _FIRST, _FIRST),
    RegionalQuery((-50, 0, 0, 30), _FIRST, _LAST),
    RegionalQuery((160, -40, -170, -5), _FIRST, _FIRST),
    RegionalQuery((0, 0, 10, 10), dt.date(2023, 5, 1), dt.date(2023, 5, 1)),
)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("torch")
    small(folder / "regions").build(folder / "dataset")
    return str(folder / "dataset")


def test_a_sample_has_the_published_keys(url: str) -> None:
    dataset = RegionalDataset(url, _QUERIES, ["l4_sst", "argo"], ["l3_ssh"], reading=Reading(shape=(16, 32)))
    assert len(dataset) == 4
    sample = dataset[1]
    assert set(sample) == {"inputs", "targets", "coords", "metadata"}
    assert set(sample["inputs"]) == {"l4_sst", "argo"}
    field = sample["inputs"]["l4_sst"]
    assert {name: (tuple(part.shape), part.dtype) for name, part in field.items()} == {
        "data": ((16, 32), torch.float32), "mask": ((16, 32), torch.bool),
        "lats": ((16,), torch.float64), "lons": ((32,), torch.float64),
    }  # fmt: skip
    assert torch.equal(sample["coords"]["lons"], field["lons"])
    # two days of a field and of points, and one of cells
    assert sample["metadata"] == {"bbox": (-50, 0, 0, 30), "time_range": ("2024-01-10", "2024-01-11"), "n_files": 5}
    points = sample["inputs"]["argo"]
    assert points["data"].tolist() == [20, 21, 20, 21]
    assert points["times"][0] == 1704866400
    assert points["pressure"].tolist() == [0, 1, 0, 1]


def test_every_published_token_is_there(url: str) -> None:
    dataset = RegionalDataset(url, _QUERIES[:1], list(VARIABLES), reading=Reading(shape=(4, 4)))
    assert set(dataset[0]["inputs"]) == set(VARIABLES)


@pytest.mark.parametrize("fill", [float("nan"), 0.0])
def test_sample_i_of_each_variable_is_sample_i(url: str, fill: float) -> None:
    reading = Reading(resolution=1.0, fill=fill)
    dataset = RegionalDataset(url, _QUERIES, ["l4_sst", "l3_ssh", "argo"], reading=reading)
    batch = collate_regional([dataset[number] for number in range(4)], fill)
    sst, track, argo = (batch["inputs"][token] for token in ("l4_sst", "l3_ssh", "argo"))
    # sizes differ, and samples that a variable does not have keep their places
    assert sst["data"].shape == track["data"].shape == (4, 35, 50)
    assert sst["mask"].any(dim=(1, 2)).tolist() == [True, True, True, False]
    assert track["mask"].any(dim=(1, 2)).tolist() == [True, False, False, False]
    assert argo["mask"].sum(dim=1).tolist() == [0, 4, 1, 0]
    for item in (sst, track, argo):
        gone = item["data"][~item["mask"]]
        assert torch.isnan(gone).all() if np.isnan(fill) else (gone == 0).all()
    here = sst["mask"][2]
    expected = plane(sst["lats"][2].numpy()[:, None], sst["lons"][2].numpy(), 10)
    np.testing.assert_allclose(sst["data"][2][here], expected[here.numpy()], atol=5e-3)
    assert batch["metadata"]["bbox"][2] == (160, -40, -170, -5)
    assert batch["coords"]["lats"].shape == (4, 35)


def test_native_patches_of_nothing_do_not_shift_the_others(url: str) -> None:
    dataset = RegionalDataset(url, _QUERIES, ["l4_sst"], reading=Reading())
    batch = collate_regional([dataset[3], dataset[0]])
    assert batch["inputs"]["l4_sst"]["mask"].sum(dim=(1, 2)).tolist() == [0, 4]


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_read_what_this_process_reads(url: str, workers: int) -> None:
    dataset = RegionalDataset(url, _QUERIES, ["l4_sst", "l4_ssh"], reading=Reading(shape=(8, 8)))
    loader = DataLoader(
        dataset, batch_size=2, num_workers=workers, collate_fn=partial(collate_regional, fill=0.0),
        multiprocessing_context="spawn" if workers else None,
    )  # fmt: skip
    first, second = list(loader)
    assert torch.equal(first["inputs"]["l4_sst"]["data"][1], dataset[1]["inputs"]["l4_sst"]["data"])
    assert not second["inputs"]["l4_ssh"]["mask"][1].any()


def test_values_are_normalised_and_the_fill_is_not(url: str) -> None:
    statistics = statistics_of(open_taco(url), ["l4_sst", "l3_ssh"])
    reading = Reading(shape=(8, 8), fill=-9.0)
    plain, scaled = (
        RegionalDataset(url, _QUERIES, ["l4_sst", "l3_ssh"], reading=reading, statistics=some)[0]["inputs"]
        for some in (None, statistics)
    )
    known = statistics["l4_sst"]
    expected = (plain["l4_sst"]["data"] - known.mean) / known.std
    torch.testing.assert_close(scaled["l4_sst"]["data"], expected, check_dtype=False)
    assert set(scaled["l3_ssh"]["data"][~scaled["l3_ssh"]["mask"]].tolist()) == {-9.0}
    with pytest.raises(ConfigError, match="no statistics of l4_ssh"):
        RegionalDataset(url, _QUERIES, ["l4_ssh"], statistics=statistics)


def test_a_data_set_is_small_to_send(url: str, tmp_path: Path) -> None:
    dataset = RegionalDataset(url, _QUERIES, ["l4_sst"])
    sent = pickle.dumps(dataset)
    assert len(sent) < 100_000
    assert pickle.loads(sent)[0]["inputs"]["l4_sst"]["data"].shape == (128, 128)


def test_what_cannot_be_read_is_said_at_once(url: str) -> None:
    with pytest.raises(ConfigError, match="there is no variable 'sst'"):
        RegionalDataset(url, _QUERIES, ["sst"])
    with pytest.raises(ConfigError, match="there is no query"):
        RegionalDataset(url, [], ["l4_sst"])
    with pytest.raises(ConfigError, match="no aggregation 'median'"):
        Reading(aggregate="median")  # type: ignore[arg-type]
