from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import socket
import stat
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from distributed import Security

from oceanrecon.cluster_config import ClusterStart
from oceanrecon.config import parse_settings
from oceanrecon.errors import ClusterError, ConfigError, InsecureWarning, OutputError
from oceanrecon.service.clusters import certificates
from oceanrecon.service.clusters.certificates import make_certificates
from oceanrecon.service.clusters.security import (
    beyond_loopback,
    default_folder,
    refuse_exposed,
    refuse_open_pages,
    tls_security,
)
from oceanrecon.service.clusters.start import start

Command = Callable[..., tuple[int, str, str]]
FILES = ["ca.pem", *(f"{role}{kind}.pem" for role in ("client", "scheduler", "worker") for kind in ("-key", ""))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates, for reading."""
    return make_certificates(tmp_path_factory.mktemp("certificates") / "tls", ["node1.example", "192.0.2.7"]).folder


_NAMES = {"localhost": ["127.0.0.1", "::1"], "both": ["127.0.0.1", "192.0.2.7"], "other": ["192.0.2.7"]}


def _resolve(name: str | None, *_: object, **__: object) -> list[tuple[Any, ...]]:
    if name not in _NAMES:
        raise socket.gaierror("unknown")
    return [(0, 0, 0, "", (address, 0)) for address in _NAMES[name]]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "[::1]", "localhost"])
def test_this_machine_alone_is_allowed(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", _resolve)
    assert not beyond_loopback(host)
    refuse_exposed("the scheduler", host, security=None, allow_insecure=False)
    refuse_open_pages("the dashboard", f"{host}:8787", allow_insecure=False)


@pytest.mark.parametrize(
    "host", ["", "0.0.0.0", "::", "[::]", "192.0.2.7", "10.0.0.1", "fe80::1", "eth0", "lo", "both", "other", "unknown"]
)
def test_what_others_reach_is_refused_without_tls(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", _resolve)
    assert beyond_loopback(host)
    with pytest.raises(ClusterError) as refused:
        refuse_exposed("the scheduler", host, security=None, allow_insecure=False)
    for part in (host or "0.0.0.0", "127.0.0.1", "oceanrecon cluster certificates", "--allow-insecure"):
        assert part in str(refused.value)
    refuse_exposed("the scheduler", host, security=Security(require_encryption=True), allow_insecure=False)
    with pytest.warns(InsecureWarning, match="allowed by --allow-insecure"):
        refuse_exposed("the scheduler", host, security=None, allow_insecure=True)


@pytest.mark.parametrize("address", ["0.0.0.0:8787", ":8787", "8787", "192.0.2.7:8787", "eth0:8787"])
def test_an_open_dashboard_is_refused_and_its_remedies_are_named(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", _resolve)
    with pytest.raises(ClusterError) as refused:
        refuse_open_pages("the dashboard", address, allow_insecure=False)
    for part in (address, "127.0.0.1", "ssh -L", "cluster/proxy", "--allow-insecure"):
        assert part in str(refused.value)
    with pytest.warns(InsecureWarning, match="allowed by --allow-insecure"):
        refuse_open_pages("the dashboard", address, allow_insecure=True)


def test_a_run_of_its_own_does_not_open_its_dashboard_to_others() -> None:
    from oceanrecon.config import ClusterSettings
    from oceanrecon.service.connect import connect

    with (
        pytest.raises(ClusterError, match=r"cluster\.dashboard\) would listen on :8787") as refused,
        connect(None, ClusterSettings(dashboard=":8787")),
    ):
        raise AssertionError("it started")
    assert "--allow-insecure" not in str(refused.value), "there is no such flag here"


@pytest.mark.parametrize("more", [{"kind": "slurm"}, {"kind": "ssh", "ssh": {"hosts": ["192.0.2.7"]}}])
def test_workers_elsewhere_need_tls_wherever_the_scheduler_listens(more: dict[str, Any]) -> None:
    shared = {"workers": {"memory": "500 MB"}, "scheduler": {"port": 0}, "dashboard": "127.0.0.1:0"}
    settings = parse_settings(ClusterStart, shared | more, "test")
    said = r"would run what anyone .* there is no TLS: make certificates .*; --allow-insecure starts it all the same"
    with pytest.raises(ClusterError, match=said), start(settings):
        pass


def test_keys_are_never_readable_by_others(folder: Path, tmp_path: Path) -> None:
    before = os.umask(0)  # the least careful user
    try:
        made = make_certificates(tmp_path / "new" / "tls").folder
    finally:
        os.umask(before)
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert sorted(path.name for path in made.iterdir()) == sorted(FILES), "the key of the authority is not kept"
    for path in made.glob("*-key.pem"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def _loaded(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_certificates_pass_an_independent_check(folder: Path) -> None:
    policy = PolicyBuilder().store(Store([_loaded(folder / "ca.pem")]))
    for role in ("scheduler", "worker"):
        leaf = _loaded(folder / f"{role}.pem")
        for name in ("localhost", "node1.example", "127.0.0.1", "::1", "192.0.2.7"):
            subject = x509.IPAddress(ip_address(name)) if name[0] in "1:" else x509.DNSName(name)
            policy.build_server_verifier(subject).verify(leaf, [])
        policy.build_client_verifier().verify(leaf, [])
        assert leaf.not_valid_after_utc - dt.datetime.now(dt.UTC) > dt.timedelta(days=729)
    policy.build_client_verifier().verify(_loaded(folder / "client.pem"), [])


def test_with_the_key_of_a_client_nobody_passes_for_a_scheduler(folder: Path) -> None:
    policy = PolicyBuilder().store(Store([_loaded(folder / "ca.pem")]))
    with pytest.raises(VerificationError):
        policy.build_server_verifier(x509.DNSName("localhost")).verify(_loaded(folder / "client.pem"), [])


def test_certificates_in_use_are_never_overwritten(folder: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(OutputError, match="never overwritten"):
        make_certificates(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="never overwritten"):
        make_certificates(tmp_path)
    with pytest.raises(OutputError, match="never overwritten"):
        make_certificates(tmp_path / "notes.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_half_a_set_of_certificates_is_never_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = certificates._save

    def fails_at_the_third(path: Path, content: bytes, mode: int) -> None:
        if len(list(path.parent.iterdir())) == 2:
            raise OSError(28, "No space left on device")
        save(path, content, mode)

    monkeypatch.setattr(certificates, "_save", fails_at_the_third)
    with pytest.raises(OutputError, match="No space left on device"):
        make_certificates(tmp_path / "tls")
    assert not list(tmp_path.iterdir())


def _broken(folder: Path, output: Path, **changes: Callable[[Path], object]) -> Path:
    shutil.copytree(folder, output)
    for name, change in changes.items():
        change(output / f"{name.replace('_', '-')}.pem")
    return output


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("ca", Path.unlink, "cannot read the certificate"),
        ("scheduler", Path.unlink, "cannot read the certificate"),
        ("worker_key", Path.unlink, "cannot read the key"),
        ("client", lambda path: path.write_text("-----"), "not a certificate in PEM form"),
        ("client_key", lambda path: path.chmod(0o640), "others can read the key"),
        ("worker_key", lambda path: path.chmod(0o604), "others can read the key"),
        ("worker_key", lambda path: path.write_text("-----"), "not a key in PEM form"),
        ("worker_key", lambda path: path.write_bytes(path.with_name("client-key.pem").read_bytes()), "is not that of"),
        ("ca", lambda path: path.chmod(0o664), "others can change"),
        ("worker", lambda path: path.chmod(0o646), "others can change"),
    ],
)
def test_certificates_that_are_not_in_order_are_named(
    folder: Path, tmp_path: Path, name: str, change: Callable[[Path], object], said: str
) -> None:
    broken = _broken(folder, tmp_path / "tls", **{name: change})
    with pytest.raises(ClusterError, match=said) as refused:
        tls_security(broken)
    assert str(broken / f"{name.replace('_', '-')}.pem") in str(refused.value)


def test_an_authority_that_others_can_replace_is_refused(folder: Path, tmp_path: Path) -> None:
    broken = _broken(folder, tmp_path / "tls")
    for mode in (0o770, 0o707):
        broken.chmod(mode)
        with pytest.raises(ClusterError, match=rf"others can change {broken} .*chmod go-w"):
            tls_security(broken)
    # as Kubernetes mounts a secret: nobody removes what is not theirs
    broken.chmod(0o1777)
    assert tls_security(broken).require_encryption


def test_certificates_of_another_cluster_are_named_before_anything_starts(folder: Path, tmp_path: Path) -> None:
    mixed = _broken(folder, tmp_path / "tls")
    other = make_certificates(tmp_path / "other").folder
    for name in ("worker.pem", "worker-key.pem"):
        shutil.copy2(other / name, mixed / name)
    with pytest.raises(ClusterError, match=rf"{mixed / 'worker.pem'} is not of the authority {mixed / 'ca.pem'}"):
        tls_security(mixed)


def test_a_key_that_is_lent_to_our_group_is_taken(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pods are given theirs by root, with mode 0440."""
    lent = _broken(folder, tmp_path / "tls", client_key=lambda path: path.chmod(0o440))
    with pytest.raises(ClusterError, match="others can read the key"):
        tls_security(lent, roles=("client",))
    monkeypatch.setattr(os, "geteuid", lambda: lent.stat().st_uid + 10001)
    assert tls_security(lent, roles=("client",)).require_encryption
    for mode in (0o444, 0o460):
        (lent / "client-key.pem").chmod(mode)
        with pytest.raises(ClusterError, match="others can read the key"):
            tls_security(lent, roles=("client",))


def test_certificates_of_another_time_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ClusterError, match="expired on"):
        tls_security(make_certificates(tmp_path / "old", days=0).folder)
    monkeypatch.setattr(certificates, "_SKEW", dt.timedelta(days=-1))
    with pytest.raises(ClusterError, match="set the clock"):
        tls_security(make_certificates(tmp_path / "future").folder)


def test_a_client_needs_no_key_of_the_cluster(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for name in ("ca.pem", "client.pem", "client-key.pem"):
        shutil.copy2(folder / name, tmp_path / "mine" / name)
    assert tls_security(tmp_path / "mine", roles=("client",)).require_encryption
    with pytest.raises(ClusterError, match=r"scheduler\.pem"):
        tls_security(tmp_path / "mine")


def test_clients_look_where_certificates_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "oceanrecon" / "tls"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert default_folder() == Path.home() / ".config" / "oceanrecon" / "tls"


def test_the_command_that_makes_certificates(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    code, out, err = command("cluster", "certificates", "--host", "node1.example")
    assert code == 0 and not err
    made = tmp_path / "oceanrecon" / "tls"
    assert f"certificates in {made}, valid until {dt.date.today().year + 2}" in out and "node1.example" in out
    code, out, err = command("cluster", "certificates")
    assert code == 1 and "never overwritten" in err and "--output" in err
    code, out, _ = command("cluster", "certificates", "--output", tmp_path / "other", "--days", 7, "--json")
    assert code == 0 and json.loads(out)["folder"] == str(tmp_path / "other")
    for host in ("node1:8786", "http://node1", "a b", ""):
        code, out, err = command("cluster", "certificates", "--output", tmp_path / "none", "--host", host)
        assert code == 1 and "neither a host name nor an address" in err
    with pytest.raises(ConfigError):
        make_certificates(tmp_path / "none", ["bücher"])
    assert not (tmp_path / "none").exists()
