"""Risk: the server or the proxy that the other tests rely on does not do what they think."""

from __future__ import annotations

import subprocess
import sys

import fsspec
import pytest

from tests.s3 import Fault, Proxy, Server, environment


def test_the_server_keeps_what_is_put_and_other_processes_see_it(bucket: str) -> None:
    files = fsspec.filesystem("s3")
    files.pipe_file(f"{bucket}/a/b", b"some bytes")
    assert files.find(bucket) == [f"{bucket.removeprefix('s3://')}/a/b"]
    program = f"import fsspec; print(fsspec.filesystem('s3').cat_file('{bucket}/a/b'))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "b'some bytes'\n"


def test_the_proxy_counts_and_breaks(s3: Server) -> None:
    url = s3.new_bucket()
    with Proxy(s3.endpoint) as proxy, environment(proxy.endpoint):
        files = fsspec.filesystem("s3")
        with proxy.counting() as count:
            files.pipe_file(f"{url}/x", bytes(1000))
            assert files.cat_file(f"{url}/x", start=10, end=110) == bytes(100)
        assert (count.requests, count.read, count.written) == (2, 100, 1000), str(count)
        assert [(one.method, one.range) for one in count.seen] == [("PUT", None), ("GET", "bytes=10-109")]
        busy = proxy.add(Fault(status=503, method="GET", times=1))
        cut = proxy.add(Fault(cut=True, after=500, method="GET", times=1))
        assert files.cat_file(f"{url}/x") == bytes(1000)
        assert (busy.hits, cut.hits) == (1, 1)
        missing = proxy.add(Fault(status=404, code="NoSuchKey", method="GET", path="x$", times=None))
        with pytest.raises(FileNotFoundError):
            files.cat_file(f"{url}/x")
        assert missing.hits == 1
        proxy.clear()
        proxy.add(Fault(cut=True, lost=True, method="PUT"))
        files.pipe_file(f"{url}/y", b"1")
        assert files.cat_file(f"{url}/y") == b"1"
