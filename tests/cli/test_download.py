"""Risk: the command fetches without being told to, hides a failure, or shows a password of the settings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from oceanrecon.config import load_settings
from oceanrecon.download_config import DownloadSettings
from tests.pipeline.download.servers import Fault, Site, web_server
from tests.profile_files import write_argo

Command = Callable[..., tuple[int, str, str]]
SHIPPED = Path(__file__).parents[2] / "configs" / "download.yaml"


def config(path: Path, site: Site, **changes: Any) -> Path:
    source = {"url": f"{site.url}/{{basin}}/{{date:%Y%m%d}}_prof.nc", "basins": ["a"]}
    data = {
        "output": str(path.parent / "raw"), "start": "2023-04-10", "end": "2023-04-12", "sources": {"argo": source},
        "tries": 1,
    }  # fmt: skip
    path.write_text(yaml.safe_dump(data | changes))
    return path


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("COPERNICUSMARINE_CREDENTIALS_DIRECTORY", str(tmp_path / "no-login"))


def test_nothing_is_fetched_unless_told_and_a_failure_is_seen(tmp_path: Path, command: Command) -> None:
    with web_server() as site:
        for day in (10, 11):
            site.files[f"/a/202304{day}_prof.nc"] = write_argo(tmp_path / "profiles.nc").read_bytes()
        path = config(tmp_path / "download.yaml", site)
        code, out, err = command("download", path)
        assert (code, err) == (0, "")
        assert "argo_gdac/a/20230411_prof.nc" in out and "nothing was fetched: that takes --download" in out
        assert not (tmp_path / "raw").exists()
        code, out, _ = command("download", path, "--json")
        told = json.loads(out)["sources"][0]
        assert [file["there"] for file in told["files"]] == [False, False]
        assert told["missing_days"] == ["2023-04-12"] and told["bytes_to_fetch"] == sum(map(len, site.files.values()))
        site.faults["/a/20230411_prof.nc"] = [Fault(status=403)]
        code, out, err = command("download", path, "--download")
        assert code == 1 and "1 files fetched" in out and "2 failures" in out and "403" in out
        assert "run the same command again" in err
        code, out, err = command("download", path, "--download", "--json")
        assert (code, err) == (0, "")
        assert json.loads(out)["counts"] == {"fetched": 1, "made": 1, "kept": 2, "failed": 0}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"end": "2023-04-09"}, "`end` 2023-04-09 is before `start` 2023-04-10"),
        ({"sources": {}}, "no source is named"),
        ({"sources": {"glory": {}}}, "unknown setting 'sources.glory': did you mean 'glorys'?"),
        ({"output": "s3://bucket/raw"}, "`output` is a URL"),
        ({"sources": {"en4": {"urls": ["https://me:hunter2@example/{year}.zip"]}}}, "has a name or password in it"),
        ({"sources": {"en4": {"urls": ["https://example/{month}.zip"]}}}, "is filled in with `{year}` only"),
        ({"sources": {"en4": {"urls": ["https://example/EN.zip"]}}}, "the same address for different `{year}`"),
        ({"sources": {"argo": {"url": "https://example/{basin}/{date:%Y%m}_prof.nc"}}}, "the same address for"),
        ({"sources": {"argo": {"url": "https://example/{date:%Y%m%d}_prof.nc"}}}, "the same address for"),
        ({"sources": {"argo": {"basins": ["a", "b", "a"]}}}, "`sources.argo.basins` has 'a' more than once"),
        ({"sources": {"l3_ssh": {"satellites": ["s3a", "s3a"]}}}, "`sources.l3_ssh.satellites` has 's3a' more"),
        ({"sources": {"l3_ssh": {"datasets": [{"id": "cmems_s3a"}]}}}, "has no `{satellite}` in its id"),
    ],
)
def test_a_mistake_in_the_settings_is_one_line_without_a_password(
    tmp_path: Path, command: Command, changes: dict[str, Any], told: str
) -> None:
    code, out, err = command("download", config(tmp_path / "download.yaml", Site(), **changes))
    assert (code, out) == (1, "") and told in err and "hunter2" not in err and len(err.splitlines()) == 1


def test_the_settings_that_are_shipped_are_valid() -> None:
    assert len(load_settings(DownloadSettings, SHIPPED).sources.chosen) == 10
