"""Who is let in: nothing listens beyond this machine without TLS, and keys are read by nobody else."""

from __future__ import annotations

import ipaddress
import os
import socket
import stat
import warnings
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from distributed import Security

from oceanrecon.errors import ClusterError, InsecureWarning

#: Files of a folder of certificates. Whoever has a key of any role can run code on the cluster.
AUTHORITY = "ca.pem"
ROLES = ("scheduler", "worker", "client")

_MAKE = "make certificates with `oceanrecon cluster certificates`"
_COPY = f"copy it from the folder that the cluster was started with, or {_MAKE} for a new cluster"


def default_folder() -> Path:
    """Where clients look for certificates when none are named."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "oceanrecon" / "tls"


def certificate_files(folder: Path, role: str) -> tuple[Path, Path]:
    """Certificate and key of a role, in a folder of certificates."""
    return folder / f"{role}.pem", folder / f"{role}-key.pem"


def beyond_loopback(host: str) -> bool:
    """Whether something that listens on ``host`` (an address or a name) is reached from other machines.

    A name that does not resolve counts as beyond: it is not known to be this machine alone.
    """
    name = host.strip().removeprefix("[").removesuffix("]")
    try:
        return not ipaddress.ip_address(name).is_loopback
    except ValueError:
        pass
    if not name:  # every interface
        return True
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return True
    return not all(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]).is_loopback for entry in found)


def refuse_exposed(what: str, host: str, *, security: Security | None, allow_insecure: bool | None) -> None:
    """Refuse a scheduler or worker that would listen on ``host`` beyond this machine without TLS.

    Args:
        what: names it in the message: ``the scheduler``.
        host: address or name that it would listen on.
        security: TLS, if any.
        allow_insecure: the flag, which makes it a warning; none where there is no such flag.

    Raises:
        ClusterError: it would be open; names both remedies.
    """
    if security is None and beyond_loopback(host):
        refuse(
            f"{what} would listen on {host or '0.0.0.0'} without TLS, and whoever reaches it can run code as you",
            f"let it listen on 127.0.0.1, or {_MAKE} and set security.folder",
            allow_insecure,
        )


def refuse_open_pages(what: str, address: str, *, allow_insecure: bool | None) -> None:
    """Refuse a dashboard that would listen beyond this machine: it asks nobody who they are, with or without TLS.

    Args:
        what: names it in the message: ``the dashboard``.
        address: ``HOST:PORT`` that it would listen on, or ``:PORT``, or a port.
        allow_insecure: the flag, which makes it a warning; none where there is no such flag.

    Raises:
        ClusterError: it would be open; names both remedies.
    """
    if beyond_loopback(address.rpartition(":")[0]):
        refuse(
            f"{what} would listen on {address}, beyond this machine, and it asks nobody for a password",
            "leave it on 127.0.0.1 and reach it with `ssh -L 8787:127.0.0.1:8787 HOST`, or put it behind the proxy in "
            "cluster/proxy",
            allow_insecure,
        )


def refuse(wrong: str, remedies: str, allow_insecure: bool | None) -> None:
    """Refuse what is not safe, or warn where it is allowed.

    Args:
        wrong: what would be.
        remedies: what to do instead.
        allow_insecure: the flag, which makes it a warning; none where there is no such flag.

    Raises:
        ClusterError: it is not allowed.
    """
    if allow_insecure:
        warnings.warn(f"{wrong}: allowed by --allow-insecure", InsecureWarning, stacklevel=3)
        return
    flag = "" if allow_insecure is None else "; --allow-insecure starts it all the same"
    raise ClusterError(f"{wrong}: {remedies}{flag}")


def tls_security(folder: str | Path, roles: Sequence[str] = ROLES) -> Security:
    """TLS with the certificates in ``folder``; nothing without it is accepted.

    Args:
        folder: that `oceanrecon cluster certificates` wrote, or the part of it for these roles.
        roles: what this process will be: a client needs nothing but ``("client",)``.

    Raises:
        ClusterError: files are missing, unreadable or expired, do not belong together, can be changed by others, or
            hold a key that others can read.
    """
    top = Path(folder).expanduser()
    if not top.is_dir():
        raise ClusterError(
            f"no folder of certificates at {top}: copy yours from whoever runs the cluster, name another, or make one "
            f"with `oceanrecon cluster certificates --output {top}`"
        )
    _check_ours(top)
    authority = top / AUTHORITY
    files = {"tls_ca_file": str(authority)}
    issuers = _certificates(authority)
    for role in roles:
        certificate, key = certificate_files(top, role)
        chain = _certificates(certificate)
        _check_issued(certificate, chain[0], [*issuers, *chain[1:]], authority)
        _check_key(key, certificate, chain[0])
        files |= {f"tls_{role}_cert": str(certificate), f"tls_{role}_key": str(key)}
    return Security(require_encryption=True, **files)


def _check_ours(path: Path) -> None:
    """See that nobody else can put an authority of their own in place of ours."""
    mode = path.stat().st_mode
    # in a sticky folder (a secret that Kubernetes mounts) nobody removes what belongs to others
    if mode & 0o022 and not (stat.S_ISDIR(mode) and mode & stat.S_ISVTX):
        raise ClusterError(
            f"others can change {path} (mode {stat.S_IMODE(mode):04o}), and let themselves into the cluster: `chmod "
            f"go-w {path}`, and if someone may have, {_MAKE} anew"
        )


def _certificates(path: Path) -> list[x509.Certificate]:
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise ClusterError(f"cannot read the certificate {path}: {error.strerror or error}; {_COPY}") from None
    except ValueError as error:
        raise ClusterError(f"{path} is not a certificate in PEM form ({error}): {_MAKE}") from None
    _check_ours(path)
    now = datetime.now(UTC)
    if found[0].not_valid_after_utc < now:
        raise ClusterError(
            f"the certificate {path} expired on {found[0].not_valid_after_utc:%Y-%m-%d}: {_MAKE} in another folder, "
            "for every machine"
        )
    if found[0].not_valid_before_utc > now:
        raise ClusterError(
            f"the certificate {path} is valid from {found[0].not_valid_before_utc:%Y-%m-%d %H:%M} UTC, and this "
            f"machine's clock says {now:%Y-%m-%d %H:%M}: set the clock"
        )
    return found


def _check_issued(
    path: Path, certificate: x509.Certificate, issuers: Sequence[x509.Certificate], authority: Path
) -> None:
    for issuer in issuers:
        with suppress(ValueError, TypeError, InvalidSignature):
            certificate.verify_directly_issued_by(issuer)
            return
    raise ClusterError(
        f"the certificate {path} is not of the authority {authority}: copy both from the folder that this cluster was "
        "started with"
    )


def _check_key(path: Path, certificate_path: Path, certificate: x509.Certificate) -> None:
    try:
        found = path.stat()
        content = path.read_bytes()
    except OSError as error:
        raise ClusterError(f"cannot read the key {path}: {error.strerror or error}; {_COPY}") from None
    mode = stat.S_IMODE(found.st_mode)
    # a key of somebody else's may be lent to our group: so pods are given theirs by root
    if mode & (0o077 if os.geteuid() in (found.st_uid, 0) else 0o037):
        raise ClusterError(
            f"others can read the key {path} (mode {mode:04o}), and with it run code on the cluster: `chmod 600 "
            f"{path}`, and if someone may have copied it, {_MAKE} anew"
        )
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ClusterError(f"{path} is not a key in PEM form without a password ({error}): {_MAKE}") from None
    if key.public_key() != certificate.public_key():
        raise ClusterError(f"the key {path} is not that of {certificate_path}: copy both from the same folder")
