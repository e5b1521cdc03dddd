"""MachineComponent: what one version of a node component is. Immutable."""

import enum
from typing import Annotated, ClassVar, Final, TypeAlias

import attrs

from kubenode.core.model.meta import (
    ADDRESS_PATTERN,
    UNIT_PATTERN,
    Column,
    DnsLabel,
    Items,
    Kind,
    Number,
    ObjectMeta,
    Parameters,
    Rule,
    Shape,
    Text,
    matches,
)

_PROGRAM = "^(/[-A-Za-z0-9._+@]+)+$"
_ARGUMENT = r"^[^\x00-\x1f\x7f]*$"


class Disruption(enum.Enum):
    """What a change or a remedy does to the work on a node, mildest first: none, restart, drain, reboot."""

    NONE = "none"
    RESTART = "restart"
    DRAIN = "drain"
    REBOOT = "reboot"


REPAIRABLE: Final = frozenset({Disruption.NONE, Disruption.RESTART})
"""Classes whose repair takes no permit when a component drifted (api.md section 4, "Drift")."""


class Scheme(enum.Enum):
    """How an HTTP probe speaks. With HTTPS the certificate is not verified: what is asked is whether it answers."""

    HTTP = "HTTP"
    HTTPS = "HTTPS"


_COMMAND_SHAPE = Shape(
    rules=(
        Rule(
            cel=f"self.command.size() == 0 || self.command[0].matches('{_PROGRAM}')",
            check=lambda probe: not probe.command or matches(_PROGRAM, probe.command[0]),
            message="begins with the path of a program, as in [/usr/bin/crictl, info]; no shell takes it apart",
            path=".command",
        ),
    )
)
Argv: TypeAlias = Annotated[
    tuple[Annotated[str, Text(max=1024, pattern=_ARGUMENT)], ...],
    Items(max=32, min=1),
    "the program and its arguments, one an item",
]


@attrs.frozen(kw_only=True)
class ExecProbe:
    """A program that exits with 0 while the component does its work."""

    SHAPE: ClassVar[Shape] = _COMMAND_SHAPE

    command: Argv


@attrs.frozen(kw_only=True)
class VersionProbe:
    """A program that exits with 0 and prints the version that runs."""

    SHAPE: ClassVar[Shape] = _COMMAND_SHAPE

    command: Argv
    prints: Annotated[str, Text(max=128), "the version as it is printed; spec.version when empty"] = ""


@attrs.frozen(kw_only=True)
class HttpProbe:
    """A URL that answers with a status from 200 to 399.

    Attributes:
        host: IP address or DNS name to connect to.
        port: TCP port to connect to.
        path: of the URL, with a query if need be.
    """

    host: Annotated[str, Text(max=253, min=1, pattern=ADDRESS_PATTERN)] = "127.0.0.1"
    port: Annotated[int, Number(min=1, max=65535)]
    path: Annotated[str, Text(max=1024, min=1, pattern="^/[!-~]*$")] = "/"
    scheme: Scheme = Scheme.HTTP


@attrs.frozen(kw_only=True)
class TcpProbe:
    """A port that accepts a connection.

    Attributes:
        host: IP address or DNS name to connect to.
        port: TCP port to connect to.
    """

    host: Annotated[str, Text(max=253, min=1, pattern=ADDRESS_PATTERN)] = "127.0.0.1"
    port: Annotated[int, Number(min=1, max=65535)]


@attrs.frozen(kw_only=True)
class ComponentProbe:
    """One way to see on the host whether the component runs; what fails, or does not answer in time, does not.

    Attributes:
        timeout_seconds: what takes longer has failed.
    """

    SHAPE: ClassVar[Shape] = Shape(
        rules=(
            Rule(
                cel="[has(self.exec), has(self.http), has(self.tcp), has(self.unit), has(self.version)].exists_one(x, x)",
                check=lambda probe: sum(way is not None for way in probe.ways) == 1,
                message="give one of exec, http, tcp, unit and version; each other one is a probe of its own",
            ),
        )
    )

    exec: ExecProbe | None = None
    http: HttpProbe | None = None
    tcp: TcpProbe | None = None
    unit: (
        Annotated[str, Text(max=255, min=1, pattern=UNIT_PATTERN), "a systemd unit that is active"] | None
    ) = None
    version: VersionProbe | None = None
    timeout_seconds: Annotated[int, Number(min=1, max=60)] = 5

    @property
    def ways(self) -> "tuple[ExecProbe | HttpProbe | TcpProbe | str | VersionProbe | None, ...]":
        """What may be looked at; all but one are None."""
        return (self.exec, self.http, self.tcp, self.unit, self.version)


@attrs.frozen(kw_only=True)
class MachineComponentSpec:
    """One version of a node component."""

    SHAPE: ClassVar[Shape] = Shape(
        rules=(Rule(cel="self == oldSelf", message="is immutable; make a MachineComponent of another name"),)
    )

    version: Annotated[
        str,
        Text(max=128, min=1, pattern="^[A-Za-z0-9][-A-Za-z0-9.+:~_]*$"),
        "as its vendor calls it, such as 1.7.24",
    ]
    driver: Annotated[
        DnsLabel, "the component driver that installs it, such as `package`; `kubenode plugins` lists them"
    ]
    parameters: Annotated[
        Parameters, "free form: the driver says what is allowed; per-node values as in ${machine.name}"
    ] = attrs.field(factory=dict)
    dependencies: Annotated[
        tuple[DnsLabel, ...],
        Items(max=16),
        "components, by name, that are at target before this is installed",
    ] = ()
    probes: Annotated[
        tuple[ComponentProbe, ...], Items(max=8), "all that must succeed for it to count as running"
    ] = ()
    disruption: Annotated[
        Disruption,
        "what changing to this version does to the node's work: none, restart (of its own unit), drain or reboot; all but none need a permit",
    ] = Disruption.RESTART


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
            Column(name="Dependencies", path=".spec.dependencies", wide=True),
        ),
    )  # fmt: skip
    SHAPE: ClassVar[Shape] = Shape(
        rules=(
            Rule(
                cel="!(self.metadata.name in self.spec.dependencies)",
                check=lambda component: component.metadata.name not in component.spec.dependencies,
                message="names the component itself, which cannot wait for itself",
                path=".spec.dependencies",
            ),
        )
    )

    metadata: ObjectMeta
    spec: MachineComponentSpec
