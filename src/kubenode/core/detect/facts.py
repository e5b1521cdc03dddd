"""What a look at the host tells beside its logs: the kernel's counter, file systems, and services that every node has."""

from collections.abc import Mapping
from typing import Final

import attrs

from kubenode.core.detect.rules import NO_FAULT
from kubenode.core.model.condition import Claim, Condition
from kubenode.core.model.meta import Switch

ILL_AFTER: Final = 3
"""So many looks in a row have to find a service ill: one that is being restarted is not."""


@attrs.frozen(kw_only=True)
class Facts:
    """How a host is at the moment of a reading; what could not be asked is None, or missing.

    Attributes:
        hung: how many hung tasks the kernel has counted since it booted.
        readonly: devices, by the kernel's names, of the file systems that cannot be written.
        ailing: by the condition of a service; how it is ill, empty where it is well or not there at all.
    """

    hung: int | None = None
    readonly: frozenset[str] | None = None
    ailing: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Service:
    """A service whose health is a condition.

    Attributes:
        condition: node-problem-detector's name.
        reason: while it is ill.
        unit: that systemd runs it as.
        url: what answers 200 while it is well; empty when it has none.
        socket: where a server of gRPC answers while it is well; empty when it has none.
    """

    condition: str
    reason: str
    unit: str
    url: str = ""
    socket: str = ""


SERVICES: Final[tuple[Service, ...]] = (
    Service(
        condition="KubeletUnhealthy", reason="KubeletUnhealthy", unit="kubelet.service",
        url="http://127.0.0.1:10248/healthz",
    ),
    Service(
        condition="ContainerRuntimeUnhealthy", reason="ContainerdUnhealthy", unit="containerd.service",
        socket="/run/containerd/containerd.sock",
    ),
)  # fmt: skip
"""What every node has."""


def ailment(service: Service, state: str | None, *, answers: bool) -> str:
    """Say how a service is ill; empty where it is well, where there is none, and where somebody has stopped it.

    Args:
        service: which one.
        state: of its unit, as systemd says it; None: there is no such unit.
        answers: whether it does what shows that it is well.

    A service that is stopped is a person's deed or a component's state, and the Node tells of it by itself.
    """
    if state == "failed":
        return f"{service.unit} has failed"
    if state == "active" and not answers:
        return f"{service.unit} is active, and {service.url or service.socket} does not answer"
    return ""


def counts(before: Mapping[str, int], facts: Facts) -> dict[str, int]:
    """Give for each service in how many looks in a row it was ill; what was not looked at stays, and none counts for ever."""
    now = {type: min(before.get(type, 0) + 1, ILL_AFTER) if ill else 0 for type, ill in facts.ailing.items()}
    return {**before, **now}


def service_claims(
    services: tuple[Service, ...], ill: Mapping[str, int], facts: Facts, known: Mapping[str, Condition]
) -> list[Claim]:
    """Say of each service whether it is ill; its first words stay while it is.

    Args:
        services: in the order of the answer.
        ill: by condition; looks in a row.
        facts: how they are now.
        known: the conditions before.
    """
    return [
        _service_claim(one, ill.get(one.condition, 0), facts, known.get(one.condition)) for one in services
    ]


def _service_claim(service: Service, ill: int, facts: Facts, known: Condition | None) -> Claim:
    if ill and known is not None and known.status is Switch.TRUE:
        return Claim.again(known)
    if ill < ILL_AFTER:
        return Claim.of(service.condition, False, NO_FAULT)
    return Claim.of(service.condition, True, service.reason, facts.ailing.get(service.condition, ""))
