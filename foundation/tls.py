"""A certificate of our own making, so that phones in the local network reach us over https and may use their cameras.

It is for trying things out on one's own network: a phone warns once, or trusts it after it was installed there. Its
name constraints keep it worthless for any other address, should its key ever be taken.
"""

from __future__ import annotations

import contextlib
import os
import socket
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, ip_address, ip_network
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Phones refuse server certificates that are valid for longer than 825 days.
VALID_FOR = timedelta(days=397)
RENEW_BEFORE = timedelta(days=30)


def certificate(data_dir: Path) -> tuple[Path, Path, str]:
    """(certificate file, private key file, host for phones), made anew when the old one ends or the network changed.

    Names: localhost, 127.0.0.1 and this machine's addresses in the local network; the host is the first of these, or
    localhost where there is none.
    """
    folder = data_dir / "tls"
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    # Phones judge by the real time, whatever time the demo plays.
    now = datetime.now(UTC)
    hosts = _local_addresses()
    if not (key_file.exists() and _is_good(certificate_file, hosts, now)):
        folder.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        _write(key_file, _key_pem(key), 0o600)
        _write(certificate_file, _signed(key, hosts, now).public_bytes(serialization.Encoding.PEM), 0o644)
    return certificate_file, key_file, str(hosts[0]) if hosts else "localhost"


def _local_addresses() -> list[IPv4Address]:
    """This machine's IPv4 addresses that others can reach, the one towards the network's way out first."""
    found: list[str] = []
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        # Nothing is sent: the system only tells which address it would send from (192.0.2.0/24 is nobody's, RFC 5737).
        line.connect(("192.0.2.1", 9))
        found.append(line.getsockname()[0])
    with contextlib.suppress(OSError):
        found += [str(entry[4][0]) for entry in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)]
    addresses = [IPv4Address(address) for address in dict.fromkeys(found)]
    return [address for address in addresses if not address.is_loopback and not address.is_unspecified]


def _is_good(file: Path, hosts: list[IPv4Address], now: datetime) -> bool:
    try:
        found = x509.load_pem_x509_certificate(file.read_bytes())
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    return (
        set(hosts) <= set(names.get_values_for_type(x509.IPAddress)) and found.not_valid_after_utc > now + RENEW_BEFORE
    )


def _signed(key: ec.EllipticCurvePrivateKey, hosts: list[IPv4Address], now: datetime) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Một Chạm, local network")])
    addresses = [ip_address("127.0.0.1"), *hosts]
    names = [x509.DNSName("localhost"), *map(x509.IPAddress, addresses)]
    only = [x509.DNSName("localhost"), *(x509.IPAddress(ip_network(address)) for address in addresses)]
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + VALID_FOR)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        # An authority, since phones install nothing else as trusted; for the addresses above and nothing below it.
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.NameConstraints(permitted_subtrees=only, excluded_subtrees=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(file: Path, content: bytes, mode: int) -> None:
    """Whole or not at all, and never readable by others for a moment."""
    fresh = file.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as written:
        written.write(content)
    fresh.replace(file)
