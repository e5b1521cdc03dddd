"""The drivers of kubelet and containerd: a program, its configuration as fields, and its unit."""

import json
import tomllib
from typing import Any

import attrs
import pytest

from kubenode.components import (
    ArtifactParams,
    ConfigState,
    ContainerdDriver,
    ContainerdParams,
    Desired,
    Have,
    InstallArtifact,
    InstallPackage,
    InvalidObjectError,
    KubeletDriver,
    KubeletParams,
    RemoveFile,
    RemovePackage,
    RestartUnit,
    Running,
    Seen,
    StopUnit,
    WriteFile,
    conformance,
)
from kubenode.components.daemon import skew
from kubenode.runtime.parameters import structured

FETCHED = {"path": "/usr/local/bin/kubelet", "url": "https://x/kubelet?token=s3cr3t", "sha256": "3" * 64}
KUBELET: dict[str, Any] = {
    "api_server": "1.31",
    "artifact": FETCHED,
    "config": {
        "cluster_dns": ["10.96.0.10"], "cgroup_driver": "systemd", "max_pods": 50, "client_ca_file": "/etc/kubernetes/ca.crt",
        "eviction_hard": {"memory.available": "100Mi"}, "fail_swap_on": False, "enforce_node_allocatable": [],
        "cgroups_per_qos": False, "feature_gates": {"X": True}, "container_runtime_endpoint": "unix:///run/c.sock",
    },
}  # fmt: skip
CONTAINERD: dict[str, Any] = {
    "package": "containerd", "config": {"sandbox_image": "registry/pause:3.9", "registry_config_path": "/etc/certs.d"}
}  # fmt: skip


def kubelet(version: str = "1.31.2", state: Running = Running.RUNNING, **more: Any) -> Desired[KubeletParams]:
    """Want a kubelet."""
    return Desired(version=version, params=structured({**KUBELET, **more}, KubeletParams, "p"), state=state)


def containerd(
    version: str = "1.7.2", state: Running = Running.RUNNING, **more: Any
) -> Desired[ContainerdParams]:
    """Want a containerd."""
    return Desired(
        version=version, params=structured({**CONTAINERD, **more}, ContainerdParams, "p"), state=state
    )


OTHER = {"artifact": {**FETCHED, "sha256": "2" * 64}, "config": {}}
FROM_PACKAGE = {"artifact": None, "package": "kubelet"}

test_kubelet = conformance.component(KubeletDriver(), want=kubelet(), other=kubelet("1.30.4", **OTHER))
test_kubelet_of_a_package = conformance.component(
    KubeletDriver(),
    want=kubelet("1.31.2-1.1", **FROM_PACKAGE),
    other=kubelet("1.30.4-1.1", **FROM_PACKAGE, config={}),
)
test_containerd = conformance.component(
    ContainerdDriver(), want=containerd(), other=containerd("1.6.20", config={})
)
TREE: dict[str, Any] = {"package": None, "artifact": {**FETCHED, "path": "/opt/containerd", "format": "tar"}}
test_containerd_of_an_artifact = conformance.component(
    ContainerdDriver(), want=containerd(**TREE), other=containerd("1.6.20", **{**TREE, "artifact": {**TREE["artifact"], "sha256": "2" * 64}}),
)  # fmt: skip


def test_the_fields_of_a_kubelet() -> None:
    """By the names of a KubeletConfiguration; what is left out is not written, and nobody is let in unknown."""
    assert json.loads(kubelet().params.config.content()) == {
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", "clusterDNS": ["10.96.0.10"],
        "cgroupDriver": "systemd", "maxPods": 50, "evictionHard": {"memory.available": "100Mi"}, "failSwapOn": False,
        "enforceNodeAllocatable": [], "cgroupsPerQOS": False, "featureGates": {"X": True},
        "containerRuntimeEndpoint": "unix:///run/c.sock",
        "authentication": {
            "anonymous": {"enabled": False}, "webhook": {"enabled": True}, "x509": {"clientCAFile": "/etc/kubernetes/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
    }  # fmt: skip


def test_every_field_of_a_kubelet_has_its_name() -> None:
    """As the kubelet spells it."""
    names = {
        "cluster_domain": "clusterDomain", "static_pod_path": "staticPodPath", "resolv_conf": "resolvConf",
        "fail_cgroup_v1": "failCgroupV1", "rotate_certificates": "rotateCertificates", "server_tls_bootstrap": "serverTLSBootstrap",
        "serialize_image_pulls": "serializeImagePulls", "node_status_update_frequency": "nodeStatusUpdateFrequency",
        "system_reserved": "systemReserved", "kube_reserved": "kubeReserved",
    }  # fmt: skip
    for name, spelled in names.items():
        config = attrs.evolve(kubelet(config={}).params.config, **{name: "x"})
        assert json.loads(config.content())[spelled] == "x"


def test_the_fields_of_containerd() -> None:
    """As TOML that is read back; a quote does not end a text."""
    config = containerd(
        config={"sandbox_image": 'a"\\b\U0001f40b', "root": "/var/lib/c", "address": "/run/c.sock"}
    ).params.config
    found = tomllib.loads(config.content().decode())
    cri = found["plugins"]["io.containerd.grpc.v1.cri"]
    assert (found["version"], found["root"], found["grpc"]["address"]) == (2, "/var/lib/c", "/run/c.sock")
    assert cri["sandbox_image"] == 'a"\\b\U0001f40b'
    runc = cri["containerd"]["runtimes"]["runc"]
    assert runc == {"runtime_type": "io.containerd.runc.v2", "options": {"SystemdCgroup": True}}
    assert "registry" not in cri
    found = tomllib.loads(containerd().params.config.content().decode())
    assert found["plugins"]["io.containerd.grpc.v1.cri"]["registry"]["config_path"] == "/etc/certs.d"


def have(version: str, config: ConfigState, state: Running) -> Have:
    """Make what was found."""
    return Have(version=version, config=config, state=state)


R, S, A, C, D = Running.RUNNING, Running.STOPPED, Running.ABSENT, ConfigState.CURRENT, ConfigState.DRIFTED
UNIT = "containerd.service"
RESTART, STOP = RestartUnit(unit=UNIT), StopUnit(unit=UNIT)


def _installs(then: RestartUnit | None) -> InstallPackage:
    return InstallPackage(package="containerd", version="1.7.2", then=then)


def _writes(then: RestartUnit | None) -> WriteFile:
    return WriteFile(
        path="/etc/containerd/config.toml", content=containerd().params.config.content(), then=then
    )


def _removes() -> RemoveFile:
    return RemoveFile(
        path="/etc/containerd/config.toml", content=containerd().params.config.content(), then=None
    )


@pytest.mark.parametrize(
    ("state", "found", "steps"),
    [
        (R, have("1.7.2", C, R), ()),
        (R, have("1.7.2", C, S), (RESTART,)),
        (R, have("1.6.20", C, R), (_installs(RESTART),)),
        (R, have("1.7.2", D, R), (_writes(RESTART),)),
        (R, have("1.6.20", D, R), (_installs(RESTART), _writes(RESTART))),
        (R, have("", D, A), (_writes(None), _installs(RESTART))),
        (R, have("", C, A), (_installs(RESTART),)),
        (S, have("1.7.2", C, R), (STOP,)),
        (S, have("1.6.20", D, R), (_installs(None), _writes(None), STOP)),
        (S, have("", D, A), (_writes(None), _installs(None), STOP)),
        (A, have("1.7.2", D, R), (STOP, RemovePackage(package="containerd"))),
        (A, have("1.7.2", C, R), (STOP, RemovePackage(package="containerd"), _removes())),
        (A, have("", C, S), (RemovePackage(package="containerd"), _removes())),
        (A, have("", C, A), ()),
    ],
)
def test_the_steps(state: Running, found: Have, steps: tuple[Any, ...]) -> None:
    """Each change has its own restart; where there is no program yet its file comes first, and is loaded by its start."""
    assert ContainerdDriver().plan(containerd(state=state), found) == steps


HOLD = _installs(None)


@pytest.mark.parametrize(
    ("state", "drifted", "found", "steps"),
    [
        (R, ("hold",), have("1.7.2", D, R), (HOLD,)),
        (R, ("hold",), have("1.7.2", D, S), (HOLD, RESTART)),
        (S, ("hold",), have("1.7.2", D, R), (HOLD, STOP)),
        (S, ("hold",), have("1.7.2", D, S), (HOLD,)),
        (R, ("file", "hold"), have("1.7.2", D, R), (HOLD, _writes(RESTART))),
        (S, ("file", "hold"), have("1.7.2", D, S), (HOLD, _writes(None), STOP)),
        (R, ("file",), have("1.7.2", D, R), (_writes(RESTART),)),
        (R, ("hold",), have("1.6.20", D, R), (_installs(RESTART),)),
        (R, ("file", "hold"), have("1.6.20", D, R), (_installs(RESTART), _writes(RESTART))),
    ],
)
def test_a_lost_hold_is_drift_and_nothing_is_restarted_for_it(
    state: Running, drifted: tuple[str, ...], found: Have, steps: tuple[Any, ...]
) -> None:
    """It is held where it is; the file is written, and loaded, if that is another too, or if nobody said which."""
    assert ContainerdDriver().plan(containerd(state=state), attrs.evolve(found, drifted=drifted)) == steps


CONTENT = {"/etc/containerd/config.toml": containerd().params.config.content()}


@pytest.mark.parametrize(
    ("held", "files", "state", "config", "drifted"),
    [
        ({"containerd": True}, CONTENT, R, C, ()),
        ({"containerd": False}, CONTENT, R, D, ("hold",)),
        ({}, CONTENT, S, D, ("hold",)),
        ({"containerd": True}, {}, R, D, ("file",)),
        ({"containerd": False}, {}, R, D, ("file", "hold")),
        ({"containerd": False}, CONTENT, A, C, ()),
    ],
)
def test_what_of_a_package_is_not_held_is_drifted(
    held: dict[str, bool],
    files: dict[str, bytes],
    state: Running,
    config: ConfigState,
    drifted: tuple[str, ...],
) -> None:
    """Also one that was there before us; what is to be Absent need not be held."""
    seen = Seen(packages={"containerd": "1.7.2"}, held=held, files=files, units={UNIT: "active"})
    found = ContainerdDriver().judge(containerd(state=state), seen)
    assert (found.config, found.drifted, found.version) == (config, drifted, "1.7.2")
    assert found.state is R


def test_an_artifact_and_what_is_not_there_have_no_hold() -> None:
    """Nothing asks for one, and nothing misses it."""
    want = kubelet()
    seen = Seen(
        artifacts={FETCHED["path"]: FETCHED["sha256"]}, units={"kubelet.service": "active"},
        files={"/var/lib/kubelet/config.yaml": want.params.config.content()},
    )  # fmt: skip
    assert KubeletDriver().judge(want, seen) == have("1.31.2", C, R)
    bare = ContainerdDriver().judge(containerd(), Seen(files=CONTENT))
    assert (bare.config, bare.drifted, bare.version) == (C, (), "")


def test_a_kubelet_that_does_not_go_with_its_api_server_is_held_all_the_same() -> None:
    """That it stays where it is installs nothing."""
    want = kubelet("1.32.0-1.1", **FROM_PACKAGE)
    found = attrs.evolve(have("1.32.0-1.1", D, R), drifted=("hold",))
    assert KubeletDriver().plan(want, found) == (
        InstallPackage(package="kubelet", version="1.32.0-1.1", then=None),
    )
    with pytest.raises(InvalidObjectError, match="is newer than the API server"):
        KubeletDriver().plan(want, attrs.evolve(found, drifted=("file", "hold")))


def test_an_artifact_is_installed_as_it_is_told() -> None:
    """With its URL and its digest, and the unit of the kubelet."""
    (step,) = KubeletDriver().plan(kubelet(), have("1.30.4", C, R))
    assert step == InstallArtifact(**FETCHED, then=RestartUnit(unit="kubelet.service"))
    seen = Seen(artifacts={FETCHED["path"]: "2" * 64})
    assert KubeletDriver().judge(kubelet(), seen).version == "sha256:222222222222"


SKEWS = [
    ("1.31.2", "1.31", None), ("1.28.0", "1.31.9", None), ("v1.30.4-1.1", "v1.31.0", None), ("1.0.0", "1.2", None),
    ("1.32.0", "1.31", ("kubelet 1.32.0 is newer than the API server, 1.31", "upgrade the control plane first, or take 1.28 to 1.31")),
    ("1.27.9", "1.31", ("kubelet 1.27.9 is more than three minors behind the API server, 1.31", "take 1.28 to 1.31")),
    ("1.1.0", "1.0", ("kubelet 1.1.0 is newer than the API server, 1.0", "upgrade the control plane first, or take 1.0")),
    ("2.0.0", "1.31", ("kubelet '2.0.0' and API server '1.31' cannot be compared", "write versions such as 1.30.4 and 1.31")),
    ("latest", "1.31", ("kubelet 'latest' and API server '1.31' cannot be compared", "write versions such as 1.30.4 and 1.31")),
    ("1.30.4", "1", ("kubelet '1.30.4' and API server '1' cannot be compared", "write versions such as 1.30.4 and 1.31")),
]  # fmt: skip


@pytest.mark.parametrize(("version", "server", "says"), SKEWS)
def test_a_kubelet_goes_with_its_api_server(version: str, server: str, says: tuple[str, str] | None) -> None:
    """Not newer, and three minors behind at most; else it is refused, with what would fit."""
    problem = skew(version, server)
    assert (None if problem is None else (problem.what, problem.fix)) == says


def test_what_does_not_go_with_its_api_server_is_not_installed() -> None:
    """Nor configured; what is there already is started, and may be removed."""
    driver = KubeletDriver()
    with pytest.raises(InvalidObjectError, match=r"kubelet 1\.32\.0 is newer than the API server, 1\.31"):
        driver.plan(kubelet("1.32.0"), have("1.31.2", C, R))
    with pytest.raises(InvalidObjectError, match="is newer than the API server"):
        driver.plan(kubelet("1.32.0"), have("1.32.0", D, R))
    assert driver.plan(kubelet("1.32.0"), have("1.32.0", C, R)) == ()
    assert driver.plan(kubelet("1.32.0"), have("1.32.0", C, S)) == (RestartUnit(unit="kubelet.service"),)
    assert driver.plan(kubelet("1.32.0", state=A), have("1.31.2", C, S)) != ()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"package": "kubelet"}, "write either package or artifact"),
        ({"artifact": None}, "write either package or artifact"),
        ({"artifact": {**FETCHED, "unit": "x.service"}}, "the unit is the component's"),
        ({"artifact": {**FETCHED, "url": "https://me:s3cr3t@x"}}, "url: it is no plain http or https URL"),
        ({"config": {"max_pods": "many"}}, "must be a whole number"),
        ({"config": {"maxPods": 5}}, "extra fields found (maxPods)"),
        ({"config": {"cgroup_driver": "none"}}, "must be one of systemd, cgroupfs @ $.config.cgroup_driver"),
        ({"config_file": "x"}, "is not a plain absolute path"),
        ({"package": "-y", "artifact": None}, "is not the name of a package"),
    ],
)
def test_wrong_parameters_of_a_kubelet_are_refused(more: dict[str, Any], says: str) -> None:
    """As they are read from an object; what may be a token is not repeated."""
    with pytest.raises(InvalidObjectError) as raised:
        kubelet(**more)
    assert says in str(raised.value)
    assert "s3cr3t" not in str(raised.value)


def test_a_line_of_containerd_is_one() -> None:
    """It would begin another field."""
    with pytest.raises(InvalidObjectError, match="write one line"):
        containerd(config={"root": "/x\nversion = 3"})


def test_a_token_is_not_shown() -> None:
    """Of the artifact's URL."""
    assert "s3cr3t" not in repr((kubelet(), ArtifactParams(**FETCHED)))
