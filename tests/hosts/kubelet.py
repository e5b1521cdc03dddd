"""A kubelet on a test host, as an administrator would set it up: configuration, credentials, unit.

Lives here: the files. The program itself is a layer under the host's files: `Stage.layer(program, PROGRAM)`.
"""

import json
from typing import Final

from kubenode.runtime.testing import ControlPlane
from tests.hosts.host import Host

PROGRAM: Final = "/usr/local/bin/kubelet"

_CONFIG: Final = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "kind": "KubeletConfiguration",
    "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": False}},
    "authorization": {"mode": "AlwaysAllow"},
    "cgroupsPerQOS": False,
    "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
    "enforceNodeAllocatable": [],
    "failCgroupV1": False,
    "failSwapOn": False,
    "nodeStatusUpdateFrequency": "1s",
}
_UNIT: Final = """[Unit]
Description=kubelet
After=containerd.service network.target
StartLimitIntervalSec=0

[Service]
ExecStart={program} --config=/etc/kubernetes/kubelet.json --kubeconfig=/etc/kubernetes/kubelet.conf \
--node-ip={address} --hostname-override={name}
Restart=always
RestartSec=500ms

[Install]
WantedBy=multi-user.target
"""


def set_up_kubelet(host: Host, control_plane: ControlPlane) -> None:
    """Give a host that is off all that its kubelet needs to register at the next boot."""
    kubeconfig = control_plane.kubeconfig(f"system:node:{host.name}", ("system:nodes",))
    host.write("/etc/kubernetes/kubelet.json", json.dumps(_CONFIG, indent=2))
    host.write("/etc/kubernetes/kubelet.conf", kubeconfig.read_text(), mode=0o600)
    unit = "/etc/systemd/system/kubelet.service"
    host.write(unit, _UNIT.format(program=PROGRAM, address=host.address, name=host.name))
    host.link("/etc/systemd/system/multi-user.target.wants/kubelet.service", unit)
