"""Risk: a model that is fetched is another one, or damaged, or fetched again and again; and nobody is told."""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from oceanrecon.errors import ConfigError, InsecureWarning, OutputError
from oceanrecon.stores.files import Root
from oceanrecon.training.model.stored import Trained, cache_folder, load_model, save_model
from tests.training import tiny


@dataclass(frozen=True)
class Served:
    """A run on a web server."""

    url: str
    folder: Path
    #: paths that were asked for with GET, in order
    asked: list[str]

    @property
    def fetched(self) -> int:
        return self.asked.count("/model.pt")


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    asked: list[str] = []

    class Counted(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    monkeypatch.setenv("OCEANRECON_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "run"
    model = tiny.model("climatology")
    save_model(
        Root(str(folder)), Trained(model, tiny.settings("climatology"), tiny.statistics(), tiny.form(), 7, 7, {})
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Counted, directory=str(folder))) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Served(f"http://127.0.0.1:{server.server_port}", folder, asked)
        finally:
            server.shutdown()
            thread.join()


def checksum(served: Served) -> str:
    return hashlib.sha256((served.folder / "model.pt").read_bytes()).hexdigest()


def test_a_model_is_fetched_once_and_again_where_the_cache_is_damaged(served: Served) -> None:
    for _ in range(2):
        origin = load_model(served.url).origin
        assert origin is not None
        assert (origin.address, origin.sha256, origin.checked) == (f"{served.url}/model.pt", checksum(served), True)
    assert served.fetched == 1
    cached = cache_folder() / f"{checksum(served)}.pt"
    cached.write_bytes(cached.read_bytes()[:-1] + b"?")
    load_model(f"{served.url}/model.pt")
    assert served.fetched == 2
    assert hashlib.sha256(cached.read_bytes()).hexdigest() == checksum(served)
    load_model(served.url)
    assert served.fetched == 2
    # with its checksum given, nothing is asked for at all
    before = len(served.asked)
    load_model(served.url, sha256=checksum(served).upper())
    assert len(served.asked) == before


def test_without_a_checksum_it_is_taken_with_a_warning_and_never_kept(served: Served) -> None:
    (served.folder / "model.pt.sha256").unlink()
    for count in (1, 2):
        with pytest.warns(InsecureWarning, match=rf"no model.pt.sha256 beside it.* \(--sha256\).* {checksum(served)}"):
            origin = load_model(served.url).origin
        assert origin is not None and not origin.checked and origin.sha256 == checksum(served)
        assert served.fetched == count
    assert not cache_folder().exists()
    load_model(served.url, sha256=checksum(served))
    load_model(served.url, sha256=checksum(served))
    assert served.fetched == 3


def test_another_content_is_refused_and_not_kept(served: Served) -> None:
    with pytest.raises(OutputError, match=rf"has the checksum {checksum(served)[:12]}..., and 777777777777... was exp"):
        load_model(served.url, sha256="7" * 64)
    content = (served.folder / "model.pt").read_bytes()
    (served.folder / "model.pt").write_bytes(content[:-1] + b"?")
    for where in (served.url, str(served.folder)):
        with pytest.raises(OutputError, match="it is damaged or another one; fetch it again"):
            load_model(where)
    assert not cache_folder().exists()


def test_a_model_of_before_its_flags_were_kept_has_the_usual_ones(served: Served) -> None:
    path = served.folder / "model.pt"
    content = torch.load(path, weights_only=True)
    assert content.pop("quality") == [1, 2]
    torch.save(content, path)
    (served.folder / "model.pt.sha256").unlink()
    assert load_model(str(served.folder)).quality == (1, 2)
    save_model(Root(str(served.folder)), replace(load_model(str(served.folder)), quality=(1,)))
    assert load_model(str(served.folder)).quality == (1,)


@pytest.mark.parametrize("said", ["", "../../../model", "abc"])
def test_what_is_no_checksum_is_told(served: Served, said: str) -> None:
    with pytest.raises(ConfigError, match="is no checksum: it has 64 digits"):
        load_model(served.url, sha256=said)
    (served.folder / "model.pt.sha256").write_text(said)
    with pytest.raises(OutputError, match=r"model.pt.sha256, which begins with .* is no checksum"):
        load_model(served.url)


def test_a_local_model_without_a_checksum_is_not_called_checked(served: Served) -> None:
    (served.folder / "model.pt.sha256").unlink()
    origin = load_model(str(served.folder)).origin
    assert origin is not None and not origin.checked and origin.address == str(served.folder / "model.pt")
