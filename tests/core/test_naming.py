"""What a text of a host can be: units, paths, packages, and nothing that a tool would read otherwise."""

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from kubenode.core.naming import (
    check_account,
    check_component,
    check_member,
    check_package,
    check_path,
    check_sha256,
    check_unit,
    check_url,
    is_account,
    is_component,
    is_module,
    is_package,
    is_path,
    is_sha256,
    is_sysctl,
    is_sysctl_value,
    is_unit,
    is_url,
    module_path,
    sysctl_path,
)


@attrs.frozen
class Field:
    """An attrs attribute, as far as a validator looks."""

    name: str = "field"


def refused(check: Callable[..., None], value: str) -> str:
    """Give the words with which a validator refuses; empty when it does not."""
    try:
        check(None, Field(), value)
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("unit", ["kubelet.service", "a@b.timer"])
def test_units(unit: str) -> None:
    """A name and a kind."""
    assert is_unit(unit)
    assert refused(check_unit, unit) == ""


@pytest.mark.parametrize(
    "unit", ["", "--now", "a b.service", "../x.service", "a.service\n", "a" * 250 + ".service"]
)
def test_what_is_no_unit(unit: str) -> None:
    """An option, a path, two words, a line, too long."""
    assert not is_unit(unit)
    assert refused(check_unit, unit).endswith("is not the name of a unit such as kubelet.service")


def test_no_unit_at_all_passes() -> None:
    """A write may have none to restart."""
    nothing: Any = None
    assert refused(check_unit, nothing) == ""


@pytest.mark.parametrize("name", ["kubelet", "a", "containerd-2", "a" * 63])
def test_entries(name: str) -> None:
    """As the keys of a Machine's components."""
    assert is_component(name)
    assert refused(check_component, name) == ""


@pytest.mark.parametrize("name", ["", "-y", "a-", "Kubelet", "a.b", "a b", "a\n", "a" * 64])
def test_what_is_no_entry(name: str) -> None:
    """An option, a capital, a dot, two words, a line, too long."""
    assert not is_component(name)
    assert refused(check_component, name).endswith("is not the name of a component's entry such as kubelet")


@pytest.mark.parametrize("path", ["/etc/chrony/chrony.conf", "/a/..b/.c"])
def test_paths(path: str) -> None:
    """Absolute and plain; a dot within a name is one."""
    assert is_path(path)
    assert refused(check_path, path) == ""


@pytest.mark.parametrize("path", ["", "etc/x", "/a/../b", "/a/./b", "/a//b", "/a\n", "/" + "a" * 4096])
def test_what_is_no_plain_path(path: str) -> None:
    """Relative, leaving where it says, a line, too long."""
    assert not is_path(path)
    assert refused(check_path, path).endswith("is not a plain absolute path such as /etc/chrony/chrony.conf")


@pytest.mark.parametrize("package", ["kubelet", "g++", "python3.11"])
def test_packages(package: str) -> None:
    """Names as they are in the archives."""
    assert is_package(package)
    assert refused(check_package, package) == ""


@pytest.mark.parametrize("package", ["", "-y", "a b", "a;b", "a" * 129])
def test_what_is_no_package(package: str) -> None:
    """An option of the package manager, two words, a shell's word, too long."""
    assert not is_package(package)
    assert refused(check_package, package).endswith("is not the name of a package such as kubelet")


@pytest.mark.parametrize(
    "url",
    [
        "https://dl.k8s.io/v1.30.4/bin/linux/amd64/kubelet",
        "http://10.0.0.1:8080/a?token=b%20c&d='~",
        "https://[fd00::1]:443/x",
        "https://x",
        "http://a/" + "b" * (2048 - len("http://a/")),
    ],
)
def test_urls(url: str) -> None:
    """Of http and https, with a port, a query, an address."""
    assert is_url(url)
    assert refused(check_url, url) == ""


@pytest.mark.parametrize(
    "url",
    [
        "", "x", "/x", "ftp://x/y", "file:///etc/passwd", "https:///x", "https://me:secret@x/y", "https://me@x/y",
        "https://x/y#secret", "https://x/a b", "https://x/a\nb", "https://x/é", "https://x?secret", "https://-x/y", "https://x-/y",
        "https://x:/y", "https://x:123456/y", "HTTPS://x/y", "http://a/" + "b" * (2049 - len("http://a/")),
    ],
)  # fmt: skip
def test_what_is_no_url(url: str) -> None:
    """And the text does not repeat it, since it may hold a token."""
    assert not is_url(url)
    says = refused(check_url, url)
    assert says.startswith("field: it is no plain http or https URL without user, password and fragment")
    assert "secret" not in says


def test_digests() -> None:
    """As sha256sum prints them."""
    assert is_sha256("0123456789abcdef" * 4)
    assert refused(check_sha256, "f" * 64) == ""


@pytest.mark.parametrize(
    "text", ["", "f" * 63, "f" * 65, "F" * 64, "g" * 64, "f" * 64 + "\n", "sha256:" + "f" * 64]
)
def test_what_is_no_digest(text: str) -> None:
    """Too short, too long, otherwise written."""
    assert not is_sha256(text)
    assert refused(check_sha256, text).endswith("is no SHA-256; write the 64 digits that sha256sum prints")


@pytest.mark.parametrize(("member", "good"), [("", True), ("bin/x", True), ("..x", True), ("../x", False), ("/x", False), ("x/", False), ("a//b", False)])  # fmt: skip
def test_members(member: str, good: bool) -> None:
    """A plain path below the archive, or all of it."""
    says = refused(check_member, member)
    assert (says == "") is good
    assert good or says.endswith("is not the plain path of a member such as bin/containerd")


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("net.ipv4.ip_forward", "/proc/sys/net/ipv4/ip_forward"),
        ("net/ipv4/conf/eth0.1/rp_filter", "/proc/sys/net/ipv4/conf/eth0.1/rp_filter"),
        ("net.ipv4.conf.br-lan@if3.x", "/proc/sys/net/ipv4/conf/br-lan@if3/x"),
        ("k." + "a" * 254, "/proc/sys/k/" + "a" * 254),
    ],
)
def test_settings(key: str, path: str) -> None:
    """With dots, or with slashes where a part has a dot."""
    assert is_sysctl(key)
    assert sysctl_path(key) == path


@pytest.mark.parametrize(
    "key", ["", "vm", ".vm.x", "vm.", "vm..x", "vm/../x", "vm/./x", "/vm/x", "vm. x", "vm.x\n", "vm.x=1", "k." + "a" * 255]
)  # fmt: skip
def test_what_is_no_setting(key: str) -> None:
    """A path that leads elsewhere, a line, a value."""
    assert not is_sysctl(key)


@pytest.mark.parametrize(("value", "good"), [("1", True), ("4096 131072\t6291456", True), ("a" * 1024, True), ("a" * 1025, False), ("", False), (" \t", False), ("1\n", False), ("1\r", False), ("\0", False), ("\x7f", False)])  # fmt: skip
def test_values(value: str, good: bool) -> None:
    """One line with something in it."""
    assert is_sysctl_value(value) is good


@pytest.mark.parametrize(("module", "good"), [("br_netfilter", True), ("ip-tables", True), ("a" * 64, True), ("a" * 65, False), ("", False), ("-r", False), ("a b", False), ("../x", False), ("a.ko", False)])  # fmt: skip
def test_modules(module: str, good: bool) -> None:
    """A name, and no option of modprobe."""
    assert is_module(module) is good


def test_the_state_of_a_module() -> None:
    """The kernel writes a line where a name may have a dash."""
    assert module_path("br-netfilter") == "/sys/module/br_netfilter/initstate"


@pytest.mark.parametrize("name", ["root", "_apt", "systemd-network", "a" * 32])
def test_accounts(name: str) -> None:
    """As useradd takes them."""
    assert is_account(name)
    assert refused(check_account, name) == ""


@pytest.mark.parametrize("name", ["-x", "Root", "0", "a b", "a:b", "a\n", "a" * 33])
def test_what_is_no_account(name: str) -> None:
    """An option, a number, two words, what chown would take apart, a line, too long."""
    assert not is_account(name)
    assert refused(check_account, name).endswith("is not the name of a user or a group such as root")


def test_no_account_at_all_passes() -> None:
    """A file may have whatever owner it has; but it is no name of one."""
    assert refused(check_account, "") == ""
    assert not is_account("")
