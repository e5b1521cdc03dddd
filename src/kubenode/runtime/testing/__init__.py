"""What embedders use in their own tests: a real control plane on loopback, and the suite that every Store passes.

`ControlPlane.start` runs etcd, kube-apiserver and kube-controller-manager of a folder with these programs
and leaves nothing behind, however the tests end; `install` makes our kinds known to it. It needs the extra
`kubenode[test]` and is made for Linux. The cases of the suite are in `kubenode.runtime.testing.store`.
"""

from kubenode.runtime.testing.controlplane import ControlPlane, ControlPlaneError
from kubenode.runtime.testing.installing import install

__all__ = ["ControlPlane", "ControlPlaneError", "install"]
