"""Keys and certificate requests of an agent: made on its host, from which no key ever leaves. Uses `cryptography`."""

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from kubenode.core.errors import InvalidObjectError, Problem


def new_key() -> bytes:
    """Make a key, ECDSA on P-256; PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def fingerprint(key: bytes) -> str:
    """Give the SHA-256 of the public part of a key, in hex. Raises InvalidObjectError."""
    return _public(_loaded(key).public_key())


def new_request(key: bytes, user: str, groups: Iterable[str]) -> bytes:
    """Make the request for a certificate of a user in some groups, signed by its key; PEM. Raises InvalidObjectError."""
    names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    subject = x509.Name([*names, x509.NameAttribute(NameOID.COMMON_NAME, user)])
    draft = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return draft.sign(_loaded(key), hashes.SHA256()).public_bytes(Encoding.PEM)


def valid(certificate: bytes) -> tuple[datetime, datetime]:
    """Give from when until when a certificate is valid; the first, if there are several. Raises InvalidObjectError."""
    found = _certificate(certificate)
    return found.not_valid_before_utc, found.not_valid_after_utc


def organizations(certificate: bytes) -> tuple[str, ...]:
    """Give the groups that a certificate is for. Raises InvalidObjectError."""
    names = _certificate(certificate).subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return tuple(str(one.value) for one in names)


def belongs(certificate: bytes, key: bytes) -> bool:
    """Tell whether a certificate is for a key. Raises InvalidObjectError."""
    return _public(_certificate(certificate).public_key()) == fingerprint(key)


def _public(key: CertificatePublicKeyTypes) -> str:
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def _certificate(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise _unreadable("certificate", error) from error


def _loaded(key: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        found = load_pem_private_key(key, None)
    except (ValueError, TypeError) as error:
        raise _unreadable("key", error) from error
    if not isinstance(found, ec.EllipticCurvePrivateKey):
        raise _unreadable("key", ValueError("it is not one that an agent makes"))
    return found


def _unreadable(what: str, error: Exception) -> InvalidObjectError:
    fix = "delete it, and enrol with a new token"
    return InvalidObjectError((Problem(where=what, what=f"cannot be read: {error}"[:300], fix=fix),))


def answer(question: Mapping[str, Any]) -> dict[str, Any]:
    """Answer a question of `keywork`: what a certificate says, or a request for one.

    Args:
        question: `{"certificate": PEM}`; or `{"key": PEM, "user": …, "groups": […]}`, with an empty key for a new one.

    Raises:
        InvalidObjectError: the certificate or the key cannot be read.
    """
    if "certificate" in question:
        pem = question["certificate"].encode()
        begin, end = valid(pem)
        return {
            "begin": begin.isoformat(), "end": end.isoformat(), "organizations": organizations(pem),
            "key": _public(_certificate(pem).public_key()),
        }  # fmt: skip
    key = question["key"].encode() or new_key()
    request = new_request(key, question["user"], question["groups"])
    return {"key": key.decode(), "fingerprint": fingerprint(key), "request": request.decode()}


def main() -> None:
    """Answer one question from standard input on standard output; what cannot be read is an answer, too."""
    try:
        said = answer(json.load(sys.stdin))
    except InvalidObjectError as error:
        said = {"problems": [attrs.asdict(problem) for problem in error.problems]}
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main()
