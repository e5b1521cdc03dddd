"""Driver `containerd`: containerd of a package or an artifact, its configuration as fields, and its unit."""

import json
from typing import Any

import attrs

from kubenode.components.artifact import ArtifactParams
from kubenode.components.daemon import Daemon, source_of
from kubenode.core.hookspecs import Desired, Have, Seen
from kubenode.core.naming import check_package, check_path, check_unit
from kubenode.core.probe import Probe
from kubenode.core.step import Step

_CRI = 'plugins."io.containerd.grpc.v1.cri"'


def _check_line(_: object, field: "attrs.Attribute[Any]", value: str | None) -> None:
    if value is not None and not value.isprintable():
        raise ValueError(f"{field.name}: it has a character that cannot be printed; write one line")


@attrs.frozen(kw_only=True)
class ContainerdConfig:
    """Fields of containerd's config.toml, version 2; what is left out is containerd's default.

    Attributes:
        systemd_cgroup: whether systemd makes control groups: the same as the kubelet's cgroup_driver.
        sandbox_image: of the pause container.
        registry_config_path: the folder of hosts.toml files.
        address: of its socket.
    """

    root: str | None = attrs.field(default=None, validator=_check_line)
    state: str | None = attrs.field(default=None, validator=_check_line)
    address: str | None = attrs.field(default=None, validator=_check_line)
    metrics_address: str | None = attrs.field(default=None, validator=_check_line)
    sandbox_image: str | None = attrs.field(default=None, validator=_check_line)
    snapshotter: str | None = attrs.field(default=None, validator=_check_line)
    registry_config_path: str | None = attrs.field(default=None, validator=_check_line)
    systemd_cgroup: bool = True

    def content(self) -> bytes:
        """Give the file."""
        runc = f"{_CRI}.containerd.runtimes.runc"
        tables: dict[str, dict[str, str | bool | None]] = {
            "grpc": {"address": self.address},
            "metrics": {"address": self.metrics_address},
            _CRI: {"sandbox_image": self.sandbox_image},
            f"{_CRI}.containerd": {"snapshotter": self.snapshotter},
            runc: {"runtime_type": "io.containerd.runc.v2"},
            f"{runc}.options": {"SystemdCgroup": self.systemd_cgroup},
            f"{_CRI}.registry": {"config_path": self.registry_config_path},
        }
        parts = ["version = 2\n", *_lines({"root": self.root, "state": self.state})]
        for name, values in tables.items():
            lines = _lines(values)
            if lines:
                parts += [f"\n[{name}]\n", *lines]
        return "".join(parts).encode()


def _lines(values: dict[str, str | bool | None]) -> list[str]:
    """Give lines of TOML; a text of JSON is one of TOML, too."""
    return [
        f"{key} = {json.dumps(value, ensure_ascii=False)}\n"
        for key, value in values.items()
        if value is not None
    ]


@attrs.frozen(kw_only=True)
class ContainerdParams:
    """Where containerd comes from, and how it is configured.

    Attributes:
        package: that brings it; either this,
        artifact: or the artifact that it is, without a unit of its own.
        config: what its configuration file says.
        config_file: path of that file.
        unit: that runs containerd.

    Raises:
        ValueError: a value cannot be what its field is for; or there is neither package nor artifact, or both.
    """

    package: str | None = attrs.field(default=None, validator=attrs.validators.optional(check_package))
    artifact: ArtifactParams | None = None
    config: ContainerdConfig = attrs.field(factory=ContainerdConfig)
    config_file: str = attrs.field(default="/etc/containerd/config.toml", validator=check_path)
    unit: str = attrs.field(default="containerd.service", validator=check_unit)

    def __attrs_post_init__(self) -> None:
        source_of(self.package, self.artifact)


class ContainerdDriver:
    """Keep containerd."""

    name = "containerd"
    params = ContainerdParams

    def probes(self, want: Desired[ContainerdParams], /) -> tuple[Probe, ...]:
        """Look at program, configuration and unit."""
        return _daemon(want).probes()

    def judge(self, want: Desired[ContainerdParams], seen: Seen, /) -> Have:
        """Judge the three states, each by itself."""
        return _daemon(want).judge(seen)

    def plan(self, want: Desired[ContainerdParams], have: Have, /) -> tuple[Step, ...]:
        """Give the steps from what is there to what is wanted."""
        return _daemon(want).plan(have)


def _daemon(want: Desired[ContainerdParams]) -> Daemon:
    params = want.params
    return Daemon(
        version=want.version, state=want.state, source=source_of(params.package, params.artifact),
        path=params.config_file, content=params.config.content(), unit=params.unit,
    )  # fmt: skip
