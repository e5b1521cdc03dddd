"""Driver `kubelet`: the kubelet of a package or an artifact, its configuration as fields, and its unit.

A version that does not go with the API server's is not installed.
"""

import enum
import json
from collections.abc import Mapping
from typing import Any, Final

import attrs

from kubenode.components.artifact import ArtifactParams
from kubenode.components.daemon import Daemon, skew, source_of
from kubenode.core.errors import InvalidObjectError
from kubenode.core.fields import camel_case
from kubenode.core.hookspecs import Desired, Have, Seen
from kubenode.core.model.entry import Running
from kubenode.core.naming import check_package, check_path, check_unit
from kubenode.core.probe import Probe
from kubenode.core.step import Step


class CgroupDriver(enum.Enum):
    """Who makes control groups; the same as containerd's."""

    SYSTEMD = "systemd"
    CGROUPFS = "cgroupfs"


@attrs.frozen(kw_only=True)
class KubeletConfig:
    """Fields of a KubeletConfiguration, by its own names in small letters; what is left out is the kubelet's default."""

    cluster_dns: tuple[str, ...] | None = None
    cluster_domain: str | None = None
    cgroup_driver: CgroupDriver | None = None
    container_runtime_endpoint: str | None = None
    static_pod_path: str | None = None
    client_ca_file: str | None = None
    resolv_conf: str | None = None
    max_pods: int | None = None
    fail_swap_on: bool | None = None
    fail_cgroup_v1: bool | None = None
    rotate_certificates: bool | None = None
    server_tls_bootstrap: bool | None = None
    serialize_image_pulls: bool | None = None
    cgroups_per_qos: bool | None = None
    node_status_update_frequency: str | None = None
    enforce_node_allocatable: tuple[str, ...] | None = None
    eviction_hard: Mapping[str, str] | None = None
    system_reserved: Mapping[str, str] | None = None
    kube_reserved: Mapping[str, str] | None = None
    feature_gates: Mapping[str, bool] | None = None

    def content(self) -> bytes:
        """Give the file: JSON, which the kubelet reads as well as YAML."""
        found = {_NAMES.get(name, camel_case(name)): _plain(value) for name, value in _given(self)}
        authority = found.pop("clientCAFile", None)
        whole: dict[str, Any] = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", **found,
            "authentication": {
                "anonymous": {"enabled": False}, "webhook": {"enabled": True},
                **({} if authority is None else {"x509": {"clientCAFile": authority}}),
            },
            "authorization": {"mode": "Webhook"},
        }  # fmt: skip
        return json.dumps(whole, indent=2, sort_keys=True).encode() + b"\n"


_NAMES: Final[Mapping[str, str]] = {
    "cluster_dns": "clusterDNS", "client_ca_file": "clientCAFile", "fail_cgroup_v1": "failCgroupV1",
    "server_tls_bootstrap": "serverTLSBootstrap", "cgroups_per_qos": "cgroupsPerQOS",
}  # fmt: skip


def _given(config: KubeletConfig) -> list[tuple[str, Any]]:
    named = ((field.name, getattr(config, field.name)) for field in attrs.fields(KubeletConfig))
    return [(name, value) for name, value in named if value is not None]


def _plain(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    return dict(value) if isinstance(value, Mapping) else value


@attrs.frozen(kw_only=True)
class KubeletParams:
    """Where the kubelet comes from, how it is configured, and with which API server it goes.

    Attributes:
        api_server: the oldest version of an API server that it speaks to, such as `1.31`.
        package: that brings it; either this,
        artifact: or the artifact that it is, without a unit of its own.
        config: what its configuration file says.
        config_file: path of that file, as `--config` in the unit names it.
        unit: that runs the kubelet.

    Raises:
        ValueError: a value cannot be what its field is for; or there is neither package nor artifact, or both.
    """

    api_server: str
    package: str | None = attrs.field(default=None, validator=attrs.validators.optional(check_package))
    artifact: ArtifactParams | None = None
    config: KubeletConfig = attrs.field(factory=KubeletConfig)
    config_file: str = attrs.field(default="/var/lib/kubelet/config.yaml", validator=check_path)
    unit: str = attrs.field(default="kubelet.service", validator=check_unit)

    def __attrs_post_init__(self) -> None:
        source_of(self.package, self.artifact)


class KubeletDriver:
    """Keep the kubelet."""

    name = "kubelet"
    params = KubeletParams

    def probes(self, want: Desired[KubeletParams], /) -> tuple[Probe, ...]:
        """Look at program, configuration and unit."""
        return _daemon(want).probes()

    def judge(self, want: Desired[KubeletParams], seen: Seen, /) -> Have:
        """Judge the three states, each by itself."""
        return _daemon(want).judge(seen)

    def plan(self, want: Desired[KubeletParams], have: Have, /) -> tuple[Step, ...]:
        """Give the steps from what is there to what is wanted.

        Raises:
            InvalidObjectError: it would install or configure a version that does not go with the API server's.
        """
        daemon = _daemon(want)
        if want.state is not Running.ABSENT and daemon.changes(have):
            problem = skew(want.version, want.params.api_server)
            if problem is not None:
                raise InvalidObjectError((problem,))
        return daemon.plan(have)


def _daemon(want: Desired[KubeletParams]) -> Daemon:
    params = want.params
    return Daemon(
        version=want.version, state=want.state, source=source_of(params.package, params.artifact),
        path=params.config_file, content=params.config.content(), unit=params.unit,
    )  # fmt: skip
