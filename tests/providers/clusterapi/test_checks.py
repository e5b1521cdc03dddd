"""What `kubenode provider check clusterapi` finds, and that it changes nothing."""

from typing import Any

import pytest

from kubenode.providers.clusterapi import ClusterApiParams, ClusterApiProvider
from kubenode.providers.clusterapi.client import Answer
from kubenode.providers.clusterapi.reading import GROUP
from tests.providers.clusterapi.fake import FakeManagement
from tests.providers.clusterapi.test_driver import MD, SETTINGS, given

ALL = ("credentials", "look", "owner", "create")


def found(cloud: ClusterApiProvider, params: ClusterApiParams | None = MD) -> dict[str, bool | None]:
    """What holds."""
    return {about: cloud.check(about, params).holds for about in cloud.checks(params)}


@pytest.mark.parametrize("name", ["machine_deployment", "machine_set", "machine"])
def test_where_all_is_well_nothing_is_changed(name: str) -> None:
    """Whatever is to be scaled or adopted; the write is a dry run."""
    fake, cloud = given()
    fake.put("machinesets", "ms-0", spec={"replicas": 1, "selector": {"matchLabels": {"set": "ms-0"}}})
    names = {"machine_deployment": "md-0", "machine_set": "ms-0", "machine": "md-0-0001"}
    before = {key: one["metadata"]["resourceVersion"] for key, one in fake.objects.items()}
    assert found(cloud, ClusterApiParams(**{name: names[name]})) == dict.fromkeys(ALL, True)
    assert {key: one["metadata"]["resourceVersion"] for key, one in fake.objects.items()} == before
    assert [line for line in fake.sent if "PATCH" in line and "dryRun=All" not in line] == []


def test_without_parameters_only_the_account_is_checked() -> None:
    """And the rest says what it lacks."""
    _, cloud = given()
    assert found(cloud, None) == {"credentials": True, "look": True}
    assert "-f" in cloud.check("owner", None).fix


@pytest.mark.parametrize("spoilt", ["missing", "managed", "selector", "book"])
def test_an_owner_that_cannot_be_scaled_is_told_with_the_fix(spoilt: str) -> None:
    """Each for its own reason."""
    fake, cloud = given()
    owner = fake.owner("md-0")
    if spoilt == "missing":
        del fake.objects["machinedeployments", "md-0"]
    if spoilt == "managed":
        owner["metadata"]["annotations"] = {f"{GROUP}/replicas-managed-by": "cluster-autoscaler"}
    if spoilt == "selector":
        owner["spec"]["selector"] = {}
    if spoilt == "book":
        owner["metadata"]["annotations"] = {"clusterapi.kubenode.dev/book": "{"}
    seen = cloud.check("owner", MD)
    assert seen.holds is (None if spoilt == "missing" else False)
    assert seen.fix or spoilt == "missing"


def test_a_machine_is_adopted_whoever_scales_its_owner() -> None:
    """Nothing is scaled by that."""
    fake, cloud = given()
    fake.objects["machines", "md-0-0001"]["metadata"]["annotations"] = {f"{GROUP}/replicas-managed-by": "x"}
    assert cloud.check("owner", ClusterApiParams(machine="md-0-0001")).holds is True


@pytest.mark.parametrize(("status", "holds"), [(401, False), (403, None), (500, None)])
def test_a_refusal_is_told(status: int, holds: bool | None) -> None:
    """Of a right that machines need it is a no at the write."""

    def send(method: str, path: str, body: Any) -> Answer:
        return (
            FakeManagement({}).send(method, path, body)
            if path.endswith(GROUP)
            else Answer(status=status, body={})
        )

    cloud = ClusterApiProvider(SETTINGS, send=send)
    assert cloud.check("look", MD).holds is holds
    assert cloud.check("create", MD).holds is (None if status == 500 else False)
