"""What the tests of profiles share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from distributed import Client

from tests.archives import copied
from tests.pipeline.profiles.tiny import days, en4_name, enrich, settings, shards_of, write_sources
from tests.profile_files import write_argo, write_en4


@pytest.fixture(scope="session")
def cruise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of EN4 and Argo files of four months, for reading; a test that changes it takes a copy."""
    return write_sources(tmp_path_factory.mktemp("cruise") / "sources")


@pytest.fixture(scope="session")
def enriched(cruise: Path, archive: Path, client: Client) -> Path:
    """A whole store of them beside the tiny archive, for reading; a test that changes it takes a copy."""
    output = cruise.parent / "enriched"
    assert enrich(settings(cruise, output, archive), client).complete
    return output


@pytest.fixture(scope="session")
def plain(cruise: Path, client: Client) -> Path:
    """A whole store of them alone, without any fields, for reading."""
    output = cruise.parent / "plain"
    assert enrich(settings(cruise, output), client).complete
    return output


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores of sixteen rows in a shard and four in a chunk, so that a few profiles fill several."""
    shards_of(monkeypatch, 4, 16)


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Profiles of three weeks, many in few pixels on both sides of the dateline; flags, letters, extreme values."""
    folder = tmp_path_factory.mktemp("crowd") / "sources"
    random = np.random.default_rng(8)
    n = 50
    for month, first, last in (("2012-02", 17, 29), ("2012-03", 0, 11)):
        start = days(int(month.replace("-", "") + "01"))
        depth = np.sort(random.uniform(0, 620, (n, 14)), axis=1)
        depth[:, 0] = random.uniform(0, 0.4, n)
        temp = random.normal(14, 4, depth.shape)
        temp[0], temp[1] = -4.5, 49.0  # beyond the stretch
        psal = random.normal(35, 2, depth.shape)
        temp[:, 5:][random.random((n, 9)) < 0.2] = np.nan
        psal[random.random(depth.shape) < 0.3] = np.nan
        temp[2], psal[2] = np.nan, np.nan  # nothing at all
        psal[3] = np.nan
        temp[4] = np.nan
        latitude = np.concatenate([random.choice([0.1, 1.4, 2.9, -0.1, 44.0], n - 10), random.uniform(-80, 80, 10)])
        longitude = np.concatenate([random.choice([179.9, 180.0, -179.9, 178.0, 150.0, 239.0], n - 10),
                                    random.uniform(-180, 180, 10)])  # fmt: skip
        latitude[10:13], longitude[10:13] = (90.0, -90.0, 3.0), (-180.0, 177.0, 180.0)  # poles, edges of pixels
        write_en4(
            folder / "en4" / en4_name(month), n, depth=depth, temp=temp + 0.1, potm=temp, psal=psal,
            temp_qc=["".join(random.choice(list("1112"), 14)) for _ in range(n)],
            potm_qc=["".join(random.choice(list("1112 "), 14)) for _ in range(n)],
            psal_qc=["".join(random.choice(list("1124"), 14)) for _ in range(n)],
            depth_qc=["".join(random.choice(list("1 0"), 14)) for _ in range(n)],
            juld=start + random.integers(first, last, n) + random.random(n),
            latitude=latitude, longitude=longitude, platform="S1",
            juld_qc="".join(random.choice(list("12 0"), n)), position_qc="".join(random.choice(list("1 3"), n)),
            profile_depth_qc="".join(random.choice(list("1 04"), n)),
            profile_potm_qc="".join(random.choice(list("1 0x"), n)),
            profile_psal_qc="".join(random.choice(list("1 04"), n)),
        )  # fmt: skip
    write_argo(
        folder / "argo/5900001_prof.nc", 3, juld=days(20120229) + 0.5 + np.arange(3), latitude=44.0, longitude=150.0,
        cycle=(1, 2, 3), profile_temp_qc="ABF", platform="5900001",
    )  # fmt: skip
    return folder


@pytest.fixture
def ours(exported: Path, tmp_path: Path) -> Path:
    """An export without profiles, to put some into."""
    return copied(exported, tmp_path / "export")
