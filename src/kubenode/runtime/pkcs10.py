"""PKCS#10: a certificate request taken apart, for core to judge. `runtime/agent/keys.py` makes them.

What the API server would sign is what has to be judged, so nothing is accepted that two readers could read in two ways:
one PEM block and not a byte besides.
"""

import base64
import hashlib
import re
import warnings
from datetime import UTC, datetime
from typing import Final

from kubenode.core.enrol.request import RequestState, SigningRequest
from kubenode.core.model import Switch
from kubenode.core.model.world import CertificateSigningRequest

try:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from cryptography.x509.oid import NameOID
except ModuleNotFoundError as missing:
    _HINT: Final = f"enrolment needs the package {missing.name}: pip install 'kubenode[enrolment]'"
    raise ModuleNotFoundError(_HINT, name=missing.name) from missing

_PEM: Final = re.compile(
    rb"-----BEGIN CERTIFICATE REQUEST-----\n((?:[A-Za-z0-9+/]{1,76}={0,2}\n)+)-----END CERTIFICATE REQUEST-----\n?"
)
_MOST: Final = 16384
"""Bytes of a request in PEM; one with an RSA key of 8,192 bits has 2,700."""
_RSA_BITS: Final = 2048
_CURVES: Final = frozenset({"secp256r1", "secp384r1", "secp521r1"})
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


def read_request(found: CertificateSigningRequest) -> SigningRequest | None:
    """Take a request apart; None when it is none that can be read in one way only, or has no single name.

    It never raises: a stranger wrote it, and whoever else asks has to be answered.
    """
    try:
        return _taken_apart(found)
    except Exception:
        return None


def _taken_apart(found: CertificateSigningRequest) -> SigningRequest | None:
    request = _parsed(found.spec.request)
    names = [] if request is None else [(one.oid, str(one.value)) for one in request.subject]
    common = [value for oid, value in names if oid == NameOID.COMMON_NAME]
    if request is None or not common:
        return None
    spec, metadata = found.spec, found.metadata
    known = (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)
    others = [oid.dotted_string for oid, _ in names if oid not in known]
    others += [NameOID.COMMON_NAME.dotted_string] * (len(common) - 1)
    key, fault = _key(request)
    return SigningRequest(
        name=metadata.name, uid=metadata.uid, version=metadata.resource_version,
        created=metadata.creation_timestamp or _LONG_AGO, signer=spec.signer_name, usages=spec.usages,
        expiration_seconds=spec.expiration_seconds, username=spec.username, groups=spec.groups,
        common_name=common[-1], organizations=tuple(value for oid, value in names if oid == known[1]),
        others=tuple(others), extras=_extras(request), key=key, key_fault=fault, state=state_of(found),
    )  # fmt: skip


def state_of(found: CertificateSigningRequest) -> RequestState:
    """Say what was answered to a request."""
    said = {one.type for one in found.status.conditions if one.status is Switch.TRUE}
    if "Denied" in said:
        return RequestState.DENIED
    if "Approved" not in said:
        return RequestState.PENDING
    return RequestState.ENDED if found.status.certificate or "Failed" in said else RequestState.APPROVED


def _parsed(text: str) -> x509.CertificateSigningRequest | None:
    """Decode the field `spec.request`, which is PEM in base64. Raises whatever comes of what is none."""
    block = _PEM.fullmatch(base64.b64decode(text, validate=True)) if len(text) <= _MOST else None
    if block is None:
        return None
    der = base64.b64decode(block[1].replace(b"\n", b""), validate=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are too long: those are refused, not warned of
        request = x509.load_der_x509_csr(der)
        list(request.subject)  # is read only now, and kept
    return request


def _extras(request: x509.CertificateSigningRequest) -> tuple[str, ...]:
    """Name all that is asked for besides subject and key; of extensions the names of these."""
    try:
        found = [one.oid.dotted_string for one in request.attributes]
        found += [f"extension {one.oid.dotted_string}" for one in request.extensions]
    except Exception:
        return ("attributes or extensions that cannot be read",)
    return tuple(found)


def _key(request: x509.CertificateSigningRequest) -> tuple[str, str]:
    """Give the fingerprint of the public key, and what is wrong with it or with the signature."""
    try:
        key = request.public_key()
        der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        signed = request.is_signature_valid
    except Exception:
        return hashlib.sha256(
            request.tbs_certrequest_bytes
        ).hexdigest(), "the key or its algorithm is not known"
    digest = hashlib.sha256(der).hexdigest()
    if not signed:
        return digest, "the request is not signed by its own key"
    match key:
        case rsa.RSAPublicKey() if key.key_size < _RSA_BITS:
            return digest, f"the RSA key has {key.key_size} bits; it has at least {_RSA_BITS}"
        case ec.EllipticCurvePublicKey() if key.curve.name not in _CURVES:
            return digest, f"the curve {key.curve.name} is none of {', '.join(sorted(_CURVES))}"
        case rsa.RSAPublicKey() | ec.EllipticCurvePublicKey() | ed25519.Ed25519PublicKey():
            return digest, ""
        case _:
            return digest, "the key is neither RSA, ECDSA nor Ed25519"
