"""Which servers an artifact is never fetched from: those where a cloud tells its machines their credentials.

A name is resolved once, what it leads to is looked at, and that very address is connected to.
"""

import ipaddress
import socket
from typing import Final

from kubenode.runtime.agent.tree import StepFailed

_REFUSED: Final = tuple(
    ipaddress.ip_network(one)
    for one in (
        "169.254.0.0/16", "fe80::/10",
        "fd00:ec2::254/128", "100.100.100.200/32", "168.63.129.16/32", "fd20:ce::254/128",
    )
)  # fmt: skip
"""Link-local, and the services of AWS, Alibaba Cloud, Azure and Google Cloud that are not."""
_TRANSLATED: Final = ipaddress.ip_network("64:ff9b::/96")
"""IPv6 addresses that a translator turns into IPv4 (RFC 6052)."""


def connected(server: tuple[str, int], timeout: float, source: object = None) -> socket.socket:
    """Connect to a server by name or address.

    Args:
        server: host and port.
        timeout: seconds for each of its addresses.
        source: is not used: the host says from where.

    Raises:
        StepFailed: it is one that is never asked.
        OSError: it does not answer.
    """
    host, port = server
    failure = OSError(f"{host} has no address")
    for address in _addresses(host, port, 0):
        try:
            return socket.create_connection((address, port), timeout)
        except OSError as error:
            failure = error
    raise failure


def refuse(host: str) -> None:
    """Refuse a host that is written as an address, as is left to do where a proxy resolves names.

    Raises:
        StepFailed: it is one that is never asked.
    """
    try:
        _addresses(host, 0, socket.AI_NUMERICHOST)
    except socket.gaierror:
        return  # a name


def _addresses(host: str, port: int, flags: int) -> list[str]:
    """Give the addresses of a host; one that must not be asked is reason to ask none. Raises StepFailed, OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    addresses = [str(address[0]) for *_, address in found]
    for one in addresses:
        if _is_refused(one):
            leads = host if host == one else f"{host} leads to {one}, which"
            raise StepFailed(
                f"{leads} is where a cloud tells its machines their secrets: nothing is fetched there"
            )
    return addresses


def _is_refused(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        address = inner or address
    return any(address in one for one in _REFUSED)
