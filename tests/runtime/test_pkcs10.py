"""Certificate requests taken apart: what is in them, and that nothing is read that two readers could read in two ways."""

import base64
import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import AttributeOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import wire
from kubenode.core.enrol.request import RequestState, SigningRequest
from kubenode.core.model.world import CertificateSigningRequest
from kubenode.runtime.pkcs10 import read_request

KEY = ec.generate_private_key(ec.SECP256R1())
NAMES = ((NameOID.ORGANIZATION_NAME, "kubenode:agents"), (NameOID.COMMON_NAME, "kubenode:agent:m1"))


def draft(*names: Any) -> x509.CertificateSigningRequestBuilder:
    """Begin a request with these parts of the subject, or those of an agent."""
    parts = [x509.NameAttribute(oid, value) for oid, value in (names or NAMES)]
    return x509.CertificateSigningRequestBuilder().subject_name(x509.Name(parts))


def signed(builder: x509.CertificateSigningRequestBuilder, key: Any = KEY) -> bytes:
    """Sign it, and give it as PEM."""
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else hashes.SHA256()
    return builder.sign(key, digest).public_bytes(Encoding.PEM)


def found(
    pem: bytes, conditions: tuple[Any, ...] = (), certificate: str = "", **spec: Any
) -> CertificateSigningRequest:
    """Give the object that a server would serve with it."""
    raw = {
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": {"name": "r", "uid": "u", "resourceVersion": "3", "creationTimestamp": "2026-03-02T09:00:00Z"},
        "spec": {
            "request": base64.b64encode(pem).decode(), "signerName": "s", "usages": ["client auth"], "username": "who",
            "groups": ["g"], "uid": "x", "extra": {"a": ["b"]}, "expirationSeconds": 600, **spec,
        },
        "status": {"conditions": list(conditions), "certificate": certificate},
    }  # fmt: skip
    return wire.read(raw, CertificateSigningRequest)


def read(pem: bytes, **more: Any) -> SigningRequest:
    """Read what can be read."""
    made = read_request(found(pem, **more))
    assert made is not None
    return made


def test_a_good_request_is_taken_apart() -> None:
    """All that is judged, and who asks in the server's words; what this version does not look at is no fault."""
    raw = found(signed(draft()))
    assert raw.metadata.unknown == ()
    der = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert read_request(raw) == SigningRequest(
        name="r", uid="u", version="3", created=datetime(2026, 3, 2, 9, tzinfo=UTC), signer="s", usages=("client auth",),
        expiration_seconds=600, username="who", groups=("g",), common_name="kubenode:agent:m1",
        organizations=("kubenode:agents",), key=hashlib.sha256(der).hexdigest(),
    )  # fmt: skip


def test_all_that_is_asked_for_besides_is_named() -> None:
    """Extensions by their identifiers, other attributes, other parts of the subject, another common name."""
    names = x509.SubjectAlternativeName([x509.DNSName("h")])
    extended = read(signed(draft().add_extension(names, critical=False)))
    assert extended.extras == ("1.2.840.113549.1.9.14", "extension 2.5.29.17")
    password = read(signed(draft().add_attribute(AttributeOID.CHALLENGE_PASSWORD, b"x")))
    assert password.extras == ("1.2.840.113549.1.9.7",)
    more = read(
        signed(draft(*NAMES, (NameOID.ORGANIZATIONAL_UNIT_NAME, "x"), (NameOID.COMMON_NAME, "admin")))
    )
    assert more.others == ("2.5.4.11", "2.5.4.3")
    assert more.common_name == "admin"  # the last one, as Go takes it


@pytest.mark.parametrize(("key", "fault"), [
    (rsa.generate_private_key(65537, 1024), "the RSA key has 1024 bits"),  # noqa: S505
    (rsa.generate_private_key(65537, 2048), ""),
    (ec.generate_private_key(ec.SECP384R1()), ""),
    (ec.generate_private_key(ec.SECP256K1()), "the curve secp256k1 is none of"),
    (ed25519.Ed25519PrivateKey.generate(), ""),
    (ed448.Ed448PrivateKey.generate(), "the key is neither RSA, ECDSA nor Ed25519"),
    (dsa.generate_private_key(2048), "the key is neither RSA, ECDSA nor Ed25519"),
], ids=lambda value: "" if isinstance(value, str) else type(value).__name__)  # fmt: skip
def test_a_weak_key_is_told(key: Any, fault: str) -> None:
    """And no other."""
    assert read(signed(draft(), key)).key_fault[: len(fault) or None] == fault


def test_a_request_that_its_key_did_not_sign_is_told() -> None:
    """Somebody put another's public key into it."""
    der = bytearray(x509.load_pem_x509_csr(signed(draft())).public_bytes(Encoding.DER))
    der[-1] ^= 1
    text = base64.encodebytes(bytes(der)).decode()
    forged = f"-----BEGIN CERTIFICATE REQUEST-----\n{text}-----END CERTIFICATE REQUEST-----\n"
    assert read(forged.encode()).key_fault == "the request is not signed by its own key"


def tlv(tag: int, *parts: bytes) -> bytes:
    """Write one value of ASN.1, of less than 64 KiB."""
    body = b"".join(parts)
    length = len(body).to_bytes(2, "big").lstrip(b"\x00") or b"\x00"
    size = length if len(body) < 128 else bytes([128 + len(length)]) + length
    return bytes([tag]) + size + body


def with_attributes(*attributes: bytes, version: int = 0) -> bytes:
    """Give a request with any attributes, signed by nobody; its subject and key are good."""
    made = x509.load_pem_x509_csr(GOOD)
    key = made.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    info = tlv(0x30, tlv(2, bytes([version])), made.subject.public_bytes(), key, tlv(0xA0, *attributes))
    algorithm = tlv(0x30, bytes.fromhex("06082a8648ce3d040302"))
    text = base64.encodebytes(tlv(0x30, info, algorithm, tlv(3, b"\x00", made.signature))).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{text}-----END CERTIFICATE REQUEST-----\n".encode()


def test_attributes_that_cannot_be_read_are_refused_and_stop_nobody() -> None:
    """Two values in one, an empty one, extensions that are none, the same twice: asked for is asked for."""
    assert read(with_attributes()).extras == ()
    password, extensions = bytes.fromhex("06092a864886f70d010907"), bytes.fromhex("06092a864886f70d01090e")
    text = tlv(0x13, b"x")
    for attributes in (
        (tlv(0x30, password, tlv(0x31, text, text)),),
        (tlv(0x30, password, tlv(0x31)),),
        (tlv(0x30, extensions, tlv(0x31, text)),),
        (tlv(0x30, extensions, tlv(0x31, tlv(0x30))), tlv(0x30, extensions, tlv(0x31, tlv(0x30)))),
    ):
        assert read(with_attributes(*attributes)).extras != (), attributes
    assert read_request(found(with_attributes(version=7))) is None


GOOD, OTHER = signed(draft()), signed(draft((NameOID.COMMON_NAME, "admin")))


@pytest.mark.parametrize("pem", [
    b"", b"x", GOOD + OTHER, OTHER + GOOD, b"a note\n" + GOOD, GOOD + b"a note\n", b"\n" + GOOD, GOOD + b"\n",
    GOOD.replace(b"\n", b"\r\n"), GOOD.replace(b"CERTIFICATE REQUEST", b"NEW CERTIFICATE REQUEST"),
    GOOD.replace(b"CERTIFICATE REQUEST", b"CERTIFICATE"),
    GOOD.replace(b"-----\n", b"-----\nProc-Type: 4,ENCRYPTED\n\n", 1), GOOD.replace(b"-----END", b"AAAA\n-----END"),
    GOOD[:60] + b"\n" + GOOD[60:64] + b"=\n" + GOOD[64:], b"-----BEGIN CERTIFICATE REQUEST-----\n" + OTHER,
    signed(draft((NameOID.ORGANIZATION_NAME, "no name"))), GOOD.decode().encode("utf-16"),
    signed(draft(*[(NameOID.ORGANIZATION_NAME, f"{number}") for number in range(2000)], *NAMES)),
])  # fmt: skip
def test_what_could_be_read_in_two_ways_is_not_read(pem: bytes) -> None:
    """Two blocks, text around them, other line ends, headers, other types; nor a request of no name, or of great length."""
    assert read_request(found(pem)) is None


def test_what_is_no_base64_is_not_read() -> None:
    """The server refuses it, too."""
    assert read_request(found(b"", request="%%%")) is None
    assert read_request(found(b"", request=base64.b64encode(GOOD).decode() + "\n")) is None


@given(st.binary(max_size=300), st.integers(0, 2**16), st.integers(0, 255))
def test_no_bytes_make_it_fail(noise: bytes, at: int, value: int) -> None:
    """Neither any bytes, nor a good request with a byte changed."""
    read_request(found(noise))
    der = bytearray(x509.load_pem_x509_csr(GOOD).public_bytes(Encoding.DER))
    der[at % len(der)] = value
    text = base64.encodebytes(bytes(der))
    read_request(
        found(b"-----BEGIN CERTIFICATE REQUEST-----\n" + text + b"-----END CERTIFICATE REQUEST-----\n")
    )


def test_a_certificate_ends_a_request_that_was_approved() -> None:
    """And no other."""
    approved = ({"type": "Approved", "status": "True", "reason": "x"},)
    assert read(GOOD, conditions=approved, certificate="eA==").state is RequestState.ENDED
    assert read(GOOD, certificate="eA==").state is RequestState.PENDING


@pytest.mark.parametrize(("types", "state"), [
    ((), RequestState.PENDING), (("Approved",), RequestState.APPROVED), (("Denied",), RequestState.DENIED),
    (("Approved", "Denied"), RequestState.DENIED), (("Failed",), RequestState.PENDING),
    (("Approved", "Failed"), RequestState.ENDED),
])  # fmt: skip
def test_what_was_answered_is_read_from_the_conditions(types: tuple[str, ...], state: RequestState) -> None:
    """Denied is for ever."""
    conditions = tuple({"type": one, "status": "True", "reason": "x"} for one in types)
    assert read(GOOD, conditions=conditions).state is state
