"""MachineComponent: what one version of a node component is. Immutable."""

import enum
from typing import Annotated, ClassVar, Final

import attrs

from kubenode.core.model.meta import Column, DnsLabel, Kind, ObjectMeta, Parameters, Rule, Shape, Text


class Disruption(enum.Enum):
    """What a change or a remedy does to the work on a node, mildest first."""

    NONE = "none"
    RESTART = "restart"
    DRAIN = "drain"
    REBOOT = "reboot"


REPAIRABLE: Final = frozenset({Disruption.NONE, Disruption.RESTART})
"""Classes whose repair takes no permit when a component drifted (api.md section 4, "Drift")."""


@attrs.frozen(kw_only=True)
class MachineComponentSpec:
    """One version of a node component."""

    SHAPE: ClassVar[Shape] = Shape(
        rules=(Rule(cel="self == oldSelf", message="is immutable; make a MachineComponent of another name"),)
    )

    version: Annotated[str, Text(max=128, min=1, pattern="^[A-Za-z0-9][-A-Za-z0-9.+:~_]*$")]
    driver: Annotated[DnsLabel, "the component driver that installs it"]
    parameters: Parameters = attrs.field(factory=dict)
    disruption: Annotated[Disruption, "what changing to this version does to the node's work"] = (
        Disruption.RESTART
    )


@attrs.frozen(kw_only=True)
class MachineComponent:
    """What one version of a node component is. Immutable: a change is another object."""

    KIND: ClassVar[Kind] = Kind(
        name="MachineComponent", plural="machinecomponents", short_names=("mcomp",),
        columns=(
            Column(name="Version", path=".spec.version"),
            Column(name="Driver", path=".spec.driver"),
            Column(name="Disruption", path=".spec.disruption"),
            Column(name="Age", path=".metadata.creationTimestamp", type="date"),
        ),
    )  # fmt: skip

    metadata: ObjectMeta
    spec: MachineComponentSpec
