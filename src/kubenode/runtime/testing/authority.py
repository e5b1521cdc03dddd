"""The certificates of a test control plane: one authority, and identities it signs on the fly.

Lives here: keys and certificates as bytes, and their files. Called by `ControlPlane` only, which imports it
late: `cryptography` comes with the extra `kubenode[test]`.
"""

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_VALID: Final = timedelta(days=30)
_CLOCK_SKEW: Final = timedelta(minutes=5)
LOOPBACK: Final = "127.0.0.1"
_LOOPBACK_NAMES: Final = ("localhost", "kubernetes.default.svc")


@attrs.frozen(kw_only=True)
class Identity:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes = attrs.field(repr=False)

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write both into the folder and return the paths of certificate and key."""
        certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
        certificate.write_bytes(self.certificate)
        key.touch(mode=0o600)
        key.write_bytes(self.key)
        return certificate, key


@attrs.frozen
class Authority:
    """A certificate authority that exists for one control plane."""

    _key: ec.EllipticCurvePrivateKey = attrs.field(repr=False)
    _certificate: x509.Certificate = attrs.field(repr=False)

    @classmethod
    def create(cls) -> "Authority":
        """Return an authority with a key of its own."""
        key = _new_key()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubenode test authority")])
        draft = _draft(name, name, key.public_key(), key.public_key(), may_sign=True)
        return cls(key, draft.sign(key, hashes.SHA256()))

    @property
    def identity(self) -> Identity:
        """Return the authority's own certificate and key; the controller manager signs with them too."""
        return _identity(self._certificate, self._key)

    def server(self, address: str = LOOPBACK) -> Identity:
        """Return an identity for servers that listen on loopback or this address; etcd's gateway asks etcd itself with it."""
        addresses = dict.fromkeys((LOOPBACK, address))
        alternatives: list[x509.GeneralName] = [x509.IPAddress(IPv4Address(one)) for one in addresses]
        alternatives += [x509.DNSName(name) for name in _LOOPBACK_NAMES]
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubenode test server")])
        usages = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
        return self._sign(name, usages, x509.SubjectAlternativeName(alternatives))

    def client(self, user: str, groups: tuple[str, ...]) -> Identity:
        """Return an identity that an API server takes for this user in these groups.

        Raises:
            ValueError: the user is empty, or longer than the 64 characters that X.509 allows.
        """
        # Each in a set of its own: a name with two organisations in one set is another encoding.
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, user))
        return self._sign(x509.Name(attributes), (ExtendedKeyUsageOID.CLIENT_AUTH,))

    def _sign(
        self,
        name: x509.Name,
        usages: tuple[x509.ObjectIdentifier, ...],
        alternatives: x509.SubjectAlternativeName | None = None,
    ) -> Identity:
        key = _new_key()
        draft = _draft(
            name, self._certificate.subject, key.public_key(), self._key.public_key(), may_sign=False
        )
        draft = draft.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if alternatives is not None:
            draft = draft.add_extension(alternatives, critical=False)
        return _identity(draft.sign(self._key, hashes.SHA256()), key)


def new_signing_key() -> bytes:
    """Return a private key, PEM, with which an API server signs service account tokens."""
    return _pem(_new_key())


def _draft(
    name: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
    *,
    may_sign: bool,
) -> x509.CertificateBuilder:
    # Python 3.13 checks strictly: the two key identifiers and the key usage must be there.
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + _VALID)
        .add_extension(x509.BasicConstraints(ca=may_sign, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=may_sign,
                crl_sign=may_sign,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _identity(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Identity:
    return Identity(certificate=certificate.public_bytes(Encoding.PEM), key=_pem(key))


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
