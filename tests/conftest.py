"""Fixtures that every room uses."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

if TYPE_CHECKING:
    from distributed import Client

    from tests.s3 import Server

#: Exit code, standard output and standard error of a command.
Ran = tuple[int, str, str]
#: The thread of the shared cluster's loop (dask's, which keeps what ended it), while it is to run.
_loops: list[Any] = []

# a machine that is busy is no error of an example's; the rest is Hypothesis's own, which in CI takes the same examples
hypothesis.settings.register_profile("tests", hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("tests")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real sample files; without it the test is skipped on a laptop and fails in CI."""
    stated = os.environ.get("OCEANRECON_REAL_DATA")
    folder = Path(stated) if stated else Path(__file__).parents[2] / "shared" / "real"
    if not folder.is_dir():
        message = f"no real data at {folder}: set OCEANRECON_REAL_DATA to their folder"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture(scope="session", autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Jobs that tests submit are not remembered among the user's own."""
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
    yield
    if before is None:
        del os.environ["XDG_STATE_HOME"]
    else:
        os.environ["XDG_STATE_HOME"] = before


@pytest.fixture(scope="session")
def client() -> Iterator[Client]:
    """A local cluster of two worker processes, shared by all tests."""
    from oceanrecon.config import ClusterSettings
    from oceanrecon.service.connect import connect

    with connect(None, ClusterSettings(workers=2, dashboard="127.0.0.1:0")) as connected:
        cluster: Any = connected.cluster
        _loops.append(cluster._loop_runner._loop_thread)
        yield connected
        _loops.clear()


@pytest.fixture(autouse=True)
def the_shared_cluster_lives() -> Iterator[None]:
    """Names the test in which the cluster ends that all share, instead of those that fail without it."""
    yield
    for loop in _loops:
        if not loop._thread.is_alive():
            _loops.clear()
            pytest.fail(f"the loop of the shared cluster ended in this test: {loop._exception!r}")


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny archive of ``tests.archives``, for reading; a test that changes it takes a copy."""
    from tests.archives import write_archive

    return write_archive(tmp_path_factory.mktemp("tiny") / "archive")


@pytest.fixture(scope="session")
def exported(archive: Path, client: Client) -> Path:
    """A whole export of the tiny archive, for reading; a test that changes it takes a copy."""
    from oceanrecon.service.run import export
    from tests.archives import settings

    output = archive.parent / "export"
    assert export(settings(archive, output), client=client).complete
    return output


@pytest.fixture(scope="session")
def sources_of_profiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """EN4 months of 200 profiles each, and a float, around the three weeks of the tiny archive."""
    from tests.pipeline.profiles.tiny import write_sources

    return write_sources(tmp_path_factory.mktemp("samples") / "sources", profiles=200)


@pytest.fixture(scope="session")
def with_profiles(archive: Path, exported: Path, sources_of_profiles: Path, client: Client) -> dict[str, Path]:
    """Exports of the tiny archive with gridded profiles, by encoding, for reading: 3 degree cells, three levels."""
    import oceanrecon
    from tests.archives import DEPTH, copied, settings
    from tests.pipeline.profiles.tiny import enrich
    from tests.pipeline.profiles.tiny import settings as profile_settings

    top = sources_of_profiles.parent
    store = profile_settings(sources_of_profiles, top / "profiles", depth=list(DEPTH))
    assert enrich(store, client).complete
    found = {}
    for encoding in ("uint8", "uint16"):
        output = top / encoding
        if encoding == "uint8":
            copied(exported, output)
        else:
            assert oceanrecon.export(settings(archive, output, encoding=encoding), client=client).complete
        chosen = store.model_copy(update={"grid": profile_settings(
            sources_of_profiles, top / "profiles", grid={"export": str(output)}).grid})  # fmt: skip
        assert oceanrecon.grid_profiles(chosen, client=client).complete
        found[encoding] = output
    return found


@pytest.fixture(scope="session")
def s3() -> Iterator[Server]:
    """An S3 server on loopback, in a process of its own."""
    from tests.s3 import s3_server

    with s3_server() as server:
        yield server


@pytest.fixture
def bucket(s3: Server) -> Iterator[str]:
    """A new bucket of the S3 server, as ``s3://name``; the environment names the server meanwhile."""
    from tests.s3 import environment

    with environment(s3.endpoint):
        yield s3.new_bucket()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever uses the network fails."""

    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setattr(socket.socket, "connect", refused)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs ``oceanrecon`` with arguments in this process, as the shell would."""
    from oceanrecon.cli import main

    def run(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["oceanrecon", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as exit:
            code = exit.code if isinstance(exit.code, int) else int(exit.code is not None)
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def shared_cluster(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets commands run on the shared cluster where they would start one of their own."""
    from oceanrecon.service import connect

    @contextmanager
    def shared(*_: Any, **__: Any) -> Iterator[Client]:
        yield client

    monkeypatch.setattr(connect, "connect", shared)
