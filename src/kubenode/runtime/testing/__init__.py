"""What embedders use in their own tests: a real control plane on loopback.

`ControlPlane.start` runs etcd, kube-apiserver and kube-controller-manager of a folder with these programs
and leaves nothing behind, however the tests end. It needs the extra `kubenode[test]` and is made for Linux.
"""

from kubenode.runtime.testing.controlplane import ControlPlane, ControlPlaneError

__all__ = ["ControlPlane", "ControlPlaneError"]
