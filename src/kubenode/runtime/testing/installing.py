"""Our kinds on a test control plane, as `kubenode manifests | kubectl apply -f -` puts them on a real one."""

from kubenode.runtime.documents import to_yaml
from kubenode.runtime.manifests import install as manifests
from kubenode.runtime.testing.controlplane import ControlPlane


def install(control_plane: ControlPlane, *, enrolment: bool = False, user_data: bool = False) -> None:
    """Apply CRDs, RBAC and policies, and return when the kinds are served; doing it twice is doing it once.

    Args:
        control_plane: which runs.
        enrolment: with what agents need to get certificates.
        user_data: with what instances need to enrol by user data.

    Raises:
        ControlPlaneError: kubectl failed; with what it said.
    """
    objects = manifests(enrolment=enrolment, user_data=user_data)
    control_plane.kubectl("apply", "--server-side", "-f", "-", input=to_yaml(objects))
    names = [f"crd/{one['metadata']['name']}" for one in objects if one["kind"] == "CustomResourceDefinition"]
    control_plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)
