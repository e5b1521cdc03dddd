"""What a text of a host can be: the name of a unit, a package, an account, a module or a setting of the kernel; a path, a URL.

`is_*` tells; `check_*` is the same as an attrs validator, for the settings of drivers. What passes is one word to the
tool that it is given to: no option of it, no second argument, no other path.
"""

from typing import Any

import attrs

from kubenode.core.model.meta import LABEL, UNIT_PATTERN, matches

PACKAGE_PATTERN = "^[A-Za-z0-9][A-Za-z0-9+._-]*$"
ACCOUNT_PATTERN = "^[a-z_][a-z0-9_-]{0,31}$"
PATH_PATTERN = r"^(/[^/\x00-\x1f\x7f]+)+$"
SYSCTL_PATTERN = "^[A-Za-z0-9_-]+([./][A-Za-z0-9_.:@-]+)+$"
MODULE_PATTERN = "^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$"
SHA256_PATTERN = "^[0-9a-f]{64}$"
URL_PATTERN = (
    r"^https?://([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[!\x22$-~]*)?$"
)
"""Of http or https, without a user, a fragment or a character that would have to be quoted."""


def is_unit(text: str) -> bool:
    """Tell whether a text can name a systemd unit and nothing else."""
    return len(text) <= 255 and matches(UNIT_PATTERN, text)


def is_component(text: str) -> bool:
    """Tell whether a text can name an entry of a Machine's components."""
    return len(text) <= 63 and matches(f"^{LABEL}$", text)


def is_account(text: str) -> bool:
    """Tell whether a text can name a user or a group."""
    return matches(ACCOUNT_PATTERN, text)


def is_path(text: str) -> bool:
    """Tell whether a text is an absolute path that stays where it says: no `.`, `..`, `//` or control character."""
    return len(text) <= 4096 and matches(PATH_PATTERN, text) and not {".", ".."}.intersection(text.split("/"))


def is_package(text: str) -> bool:
    """Tell whether a text can name a package and is no option of the package manager."""
    return len(text) <= 128 and matches(PACKAGE_PATTERN, text)


def is_sha256(text: str) -> bool:
    """Tell whether a text is a SHA-256 in small hexadecimal digits."""
    return matches(SHA256_PATTERN, text)


def is_url(text: str) -> bool:
    """Tell whether a text is an http or https URL without a user, a fragment or a space."""
    return len(text) <= 2048 and matches(URL_PATTERN, text)


def is_sysctl(text: str) -> bool:
    """Tell whether a text can name a setting of the kernel, with dots or slashes between its parts."""
    return len(text) <= 256 and matches(SYSCTL_PATTERN, text) and is_path(sysctl_path(text))


def is_sysctl_value(text: str) -> bool:
    """Tell whether a text can be the value of a setting: one line that is not blank."""
    return len(text) <= 1024 and matches(r"^[^\x00-\x08\x0a-\x1f\x7f]*$", text) and bool(text.strip())


def is_module(text: str) -> bool:
    """Tell whether a text can name a module of the kernel and is no option of modprobe."""
    return matches(MODULE_PATTERN, text)


def sysctl_path(key: str) -> str:
    """Give the file of a setting. Where there is a slash in its name, dots belong to the parts.

    >>> sysctl_path("net.ipv4.ip_forward")
    '/proc/sys/net/ipv4/ip_forward'
    >>> sysctl_path("net/ipv4/conf/eth0.1/rp_filter")
    '/proc/sys/net/ipv4/conf/eth0.1/rp_filter'
    """
    return f"/proc/sys/{key if '/' in key else key.replace('.', '/')}"


def module_path(module: str) -> str:
    """Give the file that says the state of a module; there is none of what is not loaded, or built in."""
    return f"/sys/module/{module.replace('-', '_')}/initstate"


def check_unit(_: object, field: "attrs.Attribute[Any]", value: str | None) -> None:
    """Refuse, as an attrs validator, what is no unit; None passes.

    Raises:
        ValueError: with the field's name and an example.
    """
    if value is not None and not is_unit(value):
        raise ValueError(f"{field.name}: {value!r} is not the name of a unit such as kubelet.service")


def check_component(_: object, field: "attrs.Attribute[Any]", value: str) -> None:
    """Refuse, as an attrs validator, what can name no entry of a Machine's components.

    Raises:
        ValueError: with the field's name and an example.
    """
    if not is_component(value):
        raise ValueError(f"{field.name}: {value!r} is not the name of a component's entry such as kubelet")


def check_path(_: object, field: "attrs.Attribute[Any]", value: str) -> None:
    """Refuse, as an attrs validator, what is no plain absolute path.

    Raises:
        ValueError: with the field's name and an example.
    """
    if not is_path(value):
        raise ValueError(
            f"{field.name}: {value!r} is not a plain absolute path such as /etc/chrony/chrony.conf"
        )


def check_account(_: object, field: "attrs.Attribute[Any]", value: str) -> None:
    """Refuse, as an attrs validator, what can be no user and no group; an empty text passes.

    Raises:
        ValueError: with the field's name and an example.
    """
    if value and not is_account(value):
        raise ValueError(f"{field.name}: {value!r} is not the name of a user or a group such as root")


def check_package(_: object, field: "attrs.Attribute[Any]", value: str) -> None:
    """Refuse, as an attrs validator, what is no package name.

    Raises:
        ValueError: with the field's name and an example.
    """
    if not is_package(value):
        raise ValueError(f"{field.name}: {value!r} is not the name of a package such as kubelet")


def check_sha256(_: object, field: "attrs.Attribute[Any]", value: str) -> None:
    """Refuse, as an attrs validator, what is no SHA-256.

    Raises:
        ValueError: with the field's name and what to write.
    """
    if not is_sha256(value):
        raise ValueError(f"{field.name}: {value!r} is no SHA-256; write the 64 digits that sha256sum prints")


def check_url(_: object, field: "attrs.Attribute[Any]", value: str) -> None:
    """Refuse, as an attrs validator, what is no URL of http or https.

    Raises:
        ValueError: with the field's name and an example, and never with the value: it may hold a token.
    """
    if not is_url(value):
        raise ValueError(
            f"{field.name}: it is no plain http or https URL without user, password and fragment, "
            "such as https://dl.k8s.io/v1.30.4/bin/linux/amd64/kubelet"
        )


def check_member(_: object, field: "attrs.Attribute[Any]", value: str) -> None:
    """Refuse, as an attrs validator, what can be no member of a tar; an empty text passes.

    Raises:
        ValueError: with the field's name and an example.
    """
    if value and not is_path(f"/{value}"):
        raise ValueError(f"{field.name}: {value!r} is not the plain path of a member such as bin/containerd")
