"""What people write for Cluster API: the parameters of a machine class, and the table [clusterapi] of kubenode.toml."""

from typing import Annotated, Any

import attrs


@attrs.frozen(kw_only=True)
class ClusterApiParams:
    """What `spec.infrastructure.parameters` says for `clusterapi`: exactly one of the three."""

    machine_deployment: Annotated[str, "the MachineDeployment that is scaled up by one for each machine"] = ""
    machine_set: Annotated[str, "the MachineSet that is, which no MachineDeployment owns"] = ""
    machine: Annotated[str, "a Machine of Cluster API that exists: it is adopted, and nothing is scaled"] = ""

    def __attrs_post_init__(self) -> None:
        given = [name for name in ("machine_deployment", "machine_set", "machine") if getattr(self, name)]
        if len(given) != 1:
            told = " and ".join(given) or "none"
            raise ValueError(f"{told} given; write one of machine_deployment, machine_set and machine")


def _positive(settings: "ClusterApiSettings", field: "attrs.Attribute[Any]", value: float) -> None:
    if value <= 0:
        raise ValueError(f"{field.name} is {value}; write more than 0")


@attrs.frozen(kw_only=True)
class ClusterApiSettings:
    """The table [clusterapi] of kubenode.toml.

    Attributes:
        namespace: of the management cluster, in which the Machines are.
        kubeconfig: the path of one for the management cluster; empty: as kubectl, then a pod's service account.
        context: of the kubeconfig; empty: its current one.
        calls_per_second: to the management cluster, in the long run.
        burst: calls at once, after a quiet time.
    """

    namespace: str = "default"
    kubeconfig: str = ""
    context: str = ""
    calls_per_second: float = attrs.field(default=20.0, validator=_positive)
    burst: int = attrs.field(default=100, validator=_positive)
