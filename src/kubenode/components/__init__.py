"""Component drivers: ours, and all that the author of another needs.

A driver is pure and answers three questions: what to look at (`probes`), what it means (`judge`) and
which steps mend it (`plan`). The agent looks and acts. The entry-point group is `kubenode`, the hook
`register_components`.
"""

from collections.abc import Iterable
from typing import Any

from kubenode.components.agent import AgentDriver, AgentParams
from kubenode.components.artifact import ArtifactDriver, ArtifactParams
from kubenode.components.containerd import ContainerdConfig, ContainerdDriver, ContainerdParams
from kubenode.components.effect import Effect
from kubenode.components.file import FileDriver, FileParams
from kubenode.components.kernel import KernelDriver, KernelParams
from kubenode.components.kubelet import CgroupDriver, KubeletConfig, KubeletDriver, KubeletParams
from kubenode.components.package import PackageDriver, PackageParams
from kubenode.components.systemd import UnitDriver, UnitParams
from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.hookspecs import ComponentDriver, Desired, Have, Seen, Settings, hookimpl
from kubenode.core.model.component import Disruption
from kubenode.core.model.entry import ConfigState, Running
from kubenode.core.naming import check_account, check_package, check_path, check_unit
from kubenode.core.probe import (
    Access,
    ArtifactAt,
    CheckAnswer,
    Exec,
    FileAccess,
    HttpGet,
    PackageHeld,
    PackageVersion,
    Probe,
    ReadFile,
    TcpConnect,
    UnitEnabled,
    UnitState,
)
from kubenode.core.step import (
    ArtifactFormat,
    EnableUnit,
    InstallArtifact,
    InstallPackage,
    Reboot,
    ReloadUnit,
    RemoveArtifact,
    RemoveFile,
    RemovePackage,
    RestartUnit,
    SetKernel,
    Step,
    StopUnit,
    UpgradeAgent,
    WriteFile,
)


@hookimpl
def register_components() -> Iterable[ComponentDriver[Any]]:
    """Give the component drivers that kubenode brings."""
    return (
        PackageDriver(),
        FileDriver(),
        UnitDriver(),
        ArtifactDriver(),
        KernelDriver(),
        ContainerdDriver(),
        KubeletDriver(),
        AgentDriver(),
    )


__all__ = [
    "Access",
    "AgentDriver",
    "AgentParams",
    "ArtifactAt",
    "ArtifactDriver",
    "ArtifactFormat",
    "ArtifactParams",
    "CgroupDriver",
    "CheckAnswer",
    "ComponentDriver",
    "ConfigState",
    "ContainerdConfig",
    "ContainerdDriver",
    "ContainerdParams",
    "Desired",
    "Disruption",
    "Effect",
    "EnableUnit",
    "Exec",
    "FileAccess",
    "FileDriver",
    "FileParams",
    "Have",
    "HttpGet",
    "InstallArtifact",
    "InstallPackage",
    "InvalidObjectError",
    "KernelDriver",
    "KernelParams",
    "KubeletConfig",
    "KubeletDriver",
    "KubeletParams",
    "PackageDriver",
    "PackageHeld",
    "PackageParams",
    "PackageVersion",
    "Probe",
    "Problem",
    "ReadFile",
    "Reboot",
    "ReloadUnit",
    "RemoveArtifact",
    "RemoveFile",
    "RemovePackage",
    "RestartUnit",
    "Running",
    "Seen",
    "SetKernel",
    "Settings",
    "Step",
    "StopUnit",
    "TcpConnect",
    "UnitDriver",
    "UnitEnabled",
    "UnitParams",
    "UnitState",
    "UpgradeAgent",
    "WriteFile",
    "check_account",
    "check_package",
    "check_path",
    "check_unit",
    "hookimpl",
    "register_components",
]  # fmt: skip
