"""An authority and one certificate per role, for the TLS of one cluster."""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from oceanrecon.errors import ConfigError, OutputError
from oceanrecon.service.clusters.security import AUTHORITY, ROLES, certificate_files

#: Clocks of a cluster's machines differ by less than this.
_SKEW = timedelta(hours=1)


@dataclass(frozen=True)
class Certificates:
    """What was made."""

    folder: Path
    #: names and addresses in the certificates
    hosts: tuple[str, ...]
    valid_until: datetime


def make_certificates(folder: str | Path, hosts: Sequence[str] = (), days: int = 730) -> Certificates:
    """Make an authority and the keys and certificates of scheduler, worker and client.

    The authority's own key is not kept: nobody can make another certificate that this cluster accepts. To renew them
    or to shut someone out, make a new folder for everyone.

    Args:
        folder: to make; one that holds anything is left alone.
        hosts: names and addresses of the machines, besides this one's.
        days: how long the certificates are valid.

    Raises:
        ConfigError: one of ``hosts`` is none.
        OutputError: the folder holds something, or cannot be made.
    """
    top = Path(folder).expanduser()
    if top.exists() and (not top.is_dir() or os.listdir(top)):
        raise OutputError(
            f"{top} is there and is not empty: certificates are never overwritten, since a cluster may use them; name "
            "another folder with --output, or move this one away"
        )
    names = tuple(dict.fromkeys(["localhost", "127.0.0.1", "::1", socket.gethostname(), *hosts]))
    start = datetime.now(UTC)
    until = start + timedelta(days=days)
    try:
        top.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{top.name}-", dir=top.parent))  # mode 0700
        try:
            _write(made, names, start - _SKEW, until)
            made.rename(top)  # all or nothing; also onto an empty folder
        except BaseException:
            shutil.rmtree(made)
            raise
    except OSError as error:
        raise OutputError(f"cannot write certificates to {top}: {error.strerror or error}; see --output") from None
    return Certificates(top, names, until)


def _write(folder: Path, names: Sequence[str], start: datetime, until: datetime) -> None:
    authority_key = ec.generate_private_key(ec.SECP256R1())
    subject = _named("oceanrecon authority")
    authority = (
        _builder(subject, subject, authority_key.public_key(), start, until)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    _save(folder / AUTHORITY, authority.public_bytes(serialization.Encoding.PEM), 0o644)
    for role in ROLES:
        key = ec.generate_private_key(ec.SECP256R1())
        # a client only connects: with its key nobody can pass for a scheduler. (For a worker they can: that
        # connects as well, and dask does not ask which of the two it is.)
        purposes = [ExtendedKeyUsageOID.CLIENT_AUTH] + [ExtendedKeyUsageOID.SERVER_AUTH] * (role != "client")
        certificate = (
            _builder(_named(f"oceanrecon {role}"), subject, key.public_key(), start, until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
            .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
            )
            .sign(authority_key, hashes.SHA256())
        )
        certificate_path, key_path = certificate_files(folder, role)
        _save(certificate_path, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        _save(key_path, private, 0o600)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, start: datetime, until: datetime
) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(
        issuer, subject, key, x509.random_serial_number(), not_valid_before=start, not_valid_after=until
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    if re.fullmatch(r"(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", name) is None:
        raise ConfigError(f"--host {name!r} is neither a host name nor an address: write node1.example or 192.0.2.7")
    return x509.DNSName(name)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _save(path: Path, content: bytes, mode: int) -> None:
    # made with its mode: never readable by others, not even for a moment
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
