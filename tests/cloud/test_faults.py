"""Risk: what a network does to one request is lost data, half a file, an endless wait or a riddle."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

import oceanrecon
from oceanrecon.access import healing
from oceanrecon.access.passing import is_passing
from oceanrecon.access.ranges import BLOCK, RangeFile
from oceanrecon.access.systems import options
from oceanrecon.errors import ArchiveError, MissingExtraError, OutputError, SourceError
from oceanrecon.sources.hdf import open_hdf
from oceanrecon.sources.inventory import scan
from oceanrecon.stores.byte_ranges import Files, Range
from oceanrecon.stores.files import Root
from oceanrecon.stores.geotiff import read_codes
from tests.cloud.conftest import Cloud
from tests.s3 import Fault, Proxy, Server, environment

pytestmark = pytest.mark.usefixtures("quick")

FAULTS: dict[str, Callable[[], Fault]] = {
    "busy": lambda: Fault(status=503, times=4),
    "broken": lambda: Fault(status=500, code="InternalError", times=4),
    "cut before": lambda: Fault(cut=True, times=4),
    "cut in the middle": lambda: Fault(cut=True, after=3, times=2),
    "slow": lambda: Fault(delay=0.3, times=1),
    "answer lost": lambda: Fault(cut=True, lost=True, times=2),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_reads_and_writes_heal(cloud: Cloud, kind: str) -> None:
    root = Root(f"{cloud.url}/x")
    fault = cloud.proxy.add(FAULTS[kind]())
    root.write("a/b", b"some bytes")
    cloud.proxy.clear()
    actions: list[tuple[Callable[[], object], object]] = [
        (lambda: root.read("a/b"), b"some bytes"),
        (lambda: root.size("a/b"), 10),
        (lambda: root.list(), ["a/b"]),
        (lambda: root.read_many(["a/b", "a/c"]), {"a/b": b"some bytes"}),
        (lambda: Files(root).read([Range("a/b", 5, 10), Range("a/b", -3, None)]), [b"bytes", b"tes"]),
        (lambda: RangeFile(root.url_of("a/b")).read(), b"some bytes"),
    ]
    for action, expected in actions:
        fault = cloud.proxy.add(FAULTS[kind]())
        assert action() == expected
        assert fault.hits
        cloud.proxy.clear()
    fault = cloud.proxy.add(FAULTS[kind]())
    root.remove("a/b")
    assert fault.hits
    cloud.proxy.clear()
    assert root.list() == []


def test_faults_that_the_driver_gives_up_on_heal_too(cloud: Cloud) -> None:
    """More in a row than botocore and s3fs try together."""
    root = Root(f"{cloud.url}/x")
    fault = cloud.proxy.add(Fault(status=503, times=14))
    root.write("a", b"1")
    assert fault.hits == 14
    fault = cloud.proxy.add(Fault(status=503, times=14))
    assert root.read("a") == b"1" and fault.hits == 14


def test_an_outage_ends_in_one_clear_message(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Root(f"{cloud.url}/x")
    root.write("a", b"1")
    monkeypatch.setattr(healing, "WAITS", [0.01])
    cloud.proxy.add(Fault(status=503, times=None))
    url = f"{cloud.url}/x/a"
    with pytest.raises(OutputError, match=rf"cannot write {url}: .*injected.*; several tries failed") as found:
        root.write("a", b"2")
    assert is_passing(found.value)
    cloud.proxy.clear()
    assert root.read("a") == b"1"
    cloud.proxy.add(Fault(cut=True, times=None))
    with pytest.raises(OutputError, match=rf"cannot read {url}: .*several tries failed") as found:
        root.read("a")
    assert is_passing(found.value)
    with pytest.raises(ArchiveError, match=r"cannot be listed: .*several tries failed"):
        scan(f"{cloud.url}/archive")


def test_a_server_that_is_gone_is_one_message(s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healing, "WAITS", [0.01])
    with Proxy(s3.endpoint) as proxy:
        pass
    with environment(proxy.endpoint), pytest.raises(OutputError, match="several tries failed"):
        Root("s3://bucket/x").read("a")


def test_a_put_that_fails_leaves_what_was_there(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healing, "WAITS", [])
    root = Root(f"{cloud.url}/x")
    root.write("old", b"old")
    cloud.proxy.add(Fault(status=403, code="AccessDenied", method="PUT", times=None))
    for name in ("old", "new"):
        with pytest.raises(OutputError, match=r"cannot write .*PermissionError.*; check the credentials"):
            root.write(name, b"new")
    with pytest.raises(OutputError, match="PermissionError"), root.writer("new") as file:
        file.write(b"new")
    cloud.proxy.clear()
    assert root.list() == ["old"] and root.read("old") == b"old"


@pytest.mark.parametrize("how", ["write", "upload"])
def test_a_large_file_is_put_in_parts_which_nobody_sees_before_all_are_there(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(healing, "WAITS", [])
    root, data = Root(f"{cloud.url}/x"), os.urandom(1 << 20) * 101
    (tmp_path / "large").write_bytes(data)

    def put() -> None:
        root.write("large", data) if how == "write" else root.upload(str(tmp_path / "large"), "large")

    failing = cloud.proxy.add(Fault(status=403, code="AccessDenied", method="PUT", path="partNumber=2", times=None))
    with cloud.proxy.counting() as count, pytest.raises(OutputError, match="PermissionError"):
        put()
    assert failing.hits == 1
    assert any(one.method == "DELETE" and "uploadId" in one.path for one in count.seen)  # given up, not left behind
    assert root.list() == []
    cloud.proxy.clear()
    cloud.proxy.add(Fault(status=503, method="PUT", path="partNumber=1", times=2))
    put()
    assert root.size("large") == len(data)
    if how == "write":  # the answer to the last step is lost: the parts are gone when it is tried again
        cloud.proxy.add(Fault(cut=True, lost=True, method="POST", path="uploadId", times=1))
        root.write("large", data)
        assert root.size("large") == len(data)


def test_a_missing_bucket_is_told_and_not_made(cloud: Cloud) -> None:
    with pytest.raises(OutputError, match=r"cannot write s3://nowhere/x/a: .*; make the bucket or folder"):
        Root("s3://nowhere/x").write("a", b"1")
    assert not fsspec.filesystem("s3").exists("s3://nowhere")


def test_other_processes_writes_are_seen_at_once(cloud: Cloud, s3: Server) -> None:
    root = Root(f"{cloud.url}/x")
    root.write("a", b"1")
    assert root.list() == ["a"] and root.names() == {"a"} and not root.exists("b")
    bucket = cloud.url.removeprefix("s3://")
    plain = {"Content-Type": "application/octet-stream"}
    request = urllib.request.Request(f"{s3.endpoint}/{bucket}/x/b", b"22", plain, method="PUT")
    with urllib.request.urlopen(request):
        pass
    assert root.list() == ["a", "b"] and root.names() == {"a", "b"} and root.size("b") == 2


def test_a_source_that_cannot_be_reached_is_told_from_one_that_is_damaged(
    cloud: Cloud, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(healing, "WAITS", [0.01])
    cloud.upload(archive / "ostia", "ostia")
    url = f"{cloud.url}/ostia/{sorted(path.name for path in (archive / 'ostia').iterdir())[0]}"
    size = RangeFile(url).size
    with open_hdf(url, size) as file:
        cloud.proxy.add(Fault(status=503, times=None))
        file.ranges._blocks.clear()
        with pytest.raises(OSError, match=r"SlowDown|injected") as failed:
            file["analysed_sst"][...]
        assert is_passing(failed.value)
        with pytest.raises(SourceError, match="several tries failed"), open_hdf(url):
            pass
        cloud.proxy.clear()
        assert file["analysed_sst"].shape[-2:] == (72, 144)


def test_a_truncated_answer_is_no_number(cloud: Cloud) -> None:
    """A file that became shorter meanwhile."""
    root = Root(f"{cloud.url}/x")
    root.write("a", bytes(3 * BLOCK))
    file = RangeFile(root.url_of("a"))
    root.write("a", bytes(BLOCK))
    file.seek(BLOCK // 2)
    with pytest.raises(OSError, match="ends too early"):
        file.read(2 * BLOCK)


def test_what_the_user_says_in_fsspecs_configuration_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = options("s3://b/x")
    assert ours["config_kwargs"]["connect_timeout"] == 5
    monkeypatch.setitem(fsspec.config.conf, "s3", {"max_concurrency": 7, "config_kwargs": {"connect_timeout": 60}})
    changed = options("s3://b/x")
    assert "max_concurrency" not in changed  # fsspec adds it
    assert changed["config_kwargs"] == ours["config_kwargs"] | {"connect_timeout": 60}
    assert options("/data") == options("memory://x") == {}


@pytest.mark.parametrize(
    ("url", "said"),
    [("gs://b/x", "pip install gcsfs"), ("az://b/x", "pip install adlfs"), ("abfs://b/x", "pip install adlfs")],
)
def test_a_driver_that_is_not_installed_is_named(url: str, said: str) -> None:
    with pytest.raises(MissingExtraError, match=said):
        Root(url).read("a")
    with pytest.raises(MissingExtraError, match=said):
        oceanrecon.open_export(url)


def test_an_unknown_protocol_and_a_wrong_place_are_one_message(cloud: Cloud) -> None:
    with pytest.raises(OutputError, match=r"cannot read nothing://x/a: ValueError: Protocol not known"):
        Root("nothing://x").read("a")
    with cloud.proxy.counting() as count:
        root = Root(cloud.proxy.endpoint)
        actions: list[Callable[[], None]] = [
            lambda: root.write("a", b""), lambda: root.upload(__file__, "a"), lambda: root.remove("a"),
        ]  # fmt: skip
        for action in actions:
            with pytest.raises(OutputError, match="http:// is for reading files by their names only"):
                action()
    assert count.requests == 0
    with pytest.raises(ArchiveError, match="there is no folder"):
        scan(f"{cloud.url}/nothing")
    with pytest.raises(OutputError, match=r"cannot read .*x\.tif"):
        read_codes(f"{cloud.url}/x.tif")
