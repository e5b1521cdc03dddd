"""Certificates of a test control plane, and the error where the extra is not installed."""

import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from kubenode.runtime.testing import ControlPlane, ControlPlaneError
from kubenode.runtime.testing.authority import Authority


def test_a_client_has_its_user_as_name_and_its_groups_as_organisations() -> None:
    """Kubernetes reads the user from CN and the groups from every O, in their order."""
    identity = Authority.create().client("system:node:n1", ("system:nodes", "zone-a"))
    subject = x509.load_pem_x509_certificate(identity.certificate).subject
    assert [name.value for name in subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["system:node:n1"]
    organisations = subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    assert [name.value for name in organisations] == ["system:nodes", "zone-a"]


@pytest.mark.parametrize("user", ["", "u" * 65])
def test_a_name_that_x509_does_not_allow_is_refused(user: str) -> None:
    """Users have 1 to 64 characters."""
    with pytest.raises(ValueError, match=r"length must be >= 1 and <= 64"):
        Authority.create().client(user, ())


def test_keys_are_for_the_owner_alone_and_not_shown(tmp_path: Path) -> None:
    """A key file has mode 0600, and the key is not in the representation."""
    identity = Authority.create().server()
    _, key = identity.write(tmp_path, "server")
    assert key.stat().st_mode & 0o777 == 0o600
    assert "PRIVATE KEY" not in repr(identity)


def test_a_server_is_known_by_loopback_and_its_address() -> None:
    """A client of another network verifies the address it connects to; probes on loopback go on."""
    certificate = x509.load_pem_x509_certificate(Authority.create().server("10.99.0.1").certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "10.99.0.1"]


def test_without_the_extra_the_error_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing `cryptography` says what to install, and starts nothing."""
    monkeypatch.delitem(sys.modules, "kubenode.runtime.testing.authority")
    monkeypatch.delitem(sys.modules, "kubenode.runtime.testing.servers", raising=False)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(ControlPlaneError, match=r"cryptography.*pip install 'kubenode\[test\]'"):
        ControlPlane.start(tmp_path, tmp_path)
    assert list(tmp_path.iterdir()) == []
