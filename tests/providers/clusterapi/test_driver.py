"""What the Cluster API provider does to a management cluster, and what it leaves alone."""

import json
from typing import Any

import pytest

from kubenode.core.errors import (
    Ambiguous,
    AuthFailed,
    Busy,
    Invalid,
    NotFound,
    Protected,
    ProviderError,
    Throttled,
    TokenConflict,
    Unavailable,
)
from kubenode.core.hookspecs import CreateRequest, Guard, InstanceState
from kubenode.providers.clusterapi import ClusterApiParams, ClusterApiProvider, ClusterApiSettings
from kubenode.providers.clusterapi.client import Answer
from kubenode.providers.clusterapi.reading import GROUP, HOOK, MACHINE_NAME, PHASES, SKIP
from tests.providers.clusterapi.fake import DELETE, FakeManagement, book_of

SETTINGS = ClusterApiSettings(calls_per_second=1e6, burst=1_000_000)
TAGS = {"kubenode.dev/managed": "true", "kubenode.dev/machine-uid": "u-1"}
MD = ClusterApiParams(machine_deployment="md-0")


def asked(
    token: str = "create-1", params: ClusterApiParams = MD, **tags: str
) -> CreateRequest[ClusterApiParams]:
    """A request."""
    return CreateRequest(token=token, machine="m", params=params, tags={**TAGS, **tags})


def given(replicas: int = 3, **fields: Any) -> tuple[FakeManagement, ClusterApiProvider]:
    """A namespace and its provider."""
    fake = FakeManagement({"md-0": replicas}, **fields)
    return fake, ClusterApiProvider(SETTINGS, send=fake.send)


def replicas(fake: FakeManagement) -> int:
    """How many Machines the owner is to have."""
    return int(fake.owner("md-0")["spec"]["replicas"])


def looked(cloud: ClusterApiProvider) -> dict[str, Any]:
    """One whole look, as the controller makes it."""
    found, cursor = {}, None
    while True:
        page = cloud.find({"kubenode.dev/managed": "true"}, cursor)
        found |= {one.id: one for one in page.items}
        cursor = page.cursor
        if cursor is None:
            return found


def test_a_create_scales_up_by_one_and_is_shown_until_its_machine_is_there() -> None:
    """PENDING at first, and with its tags; then it is the Machine that the owner made, and no other."""
    fake, cloud = given(late=100)
    made = cloud.create(asked())
    assert (made.id, made.state, made.guard) == (
        "machinedeployments/md-0/create-1",
        InstanceState.PENDING,
        None,
    )
    assert looked(cloud)[made.id].tags == TAGS
    assert (replicas(fake), len(fake.machines())) == (4, 3)
    fake.reconcile()
    seen = looked(cloud)[made.id]
    assert seen.state is InstanceState.RUNNING
    assert (seen.zone, seen.provider_id) == ("a", "fake:///a/md-0-4")
    assert seen.tags == {**TAGS, MACHINE_NAME: "default/md-0-0004"}
    assert cloud.get(made.id) == looked(cloud)[made.id] == cloud.create(asked())
    assert replicas(fake) == 4
    assert "clusterapi.kubenode.dev/pending" not in fake.owner("md-0")["metadata"]["labels"]


def test_a_machine_set_is_scaled_too() -> None:
    """One that no MachineDeployment owns."""
    fake, cloud = given()
    fake.put("machinesets", "ms-0", spec={"replicas": 0, "selector": {"matchLabels": {"set": "ms-0"}}})
    made = cloud.create(asked(params=ClusterApiParams(machine_set="ms-0")))
    assert made.id == "machinesets/ms-0/create-1"
    assert fake.objects["machinesets", "ms-0"]["spec"]["replicas"] == 1


def test_a_delete_marks_the_machine_and_scales_down_once() -> None:
    """Never both that and a deletion: the owner ends the marked one, and makes no other."""
    fake, cloud = given()
    made = cloud.create(asked()).id
    looked(cloud)
    cloud.guard(made, Guard(holds_end=True))
    fake.late = 1000
    cloud.delete(made)
    cloud.delete(made)
    assert replicas(fake) == 3
    machine = fake.objects["machines", "md-0-0004"]
    assert DELETE in machine["metadata"]["annotations"]
    assert HOOK not in machine["metadata"]["annotations"]
    assert not [line for line in fake.sent if line.startswith("DELETE")]
    fake.reconcile()
    assert fake.deleted == ["md-0-0004"]
    with pytest.raises(NotFound):
        cloud.get(made)
    cloud.delete(made)
    assert (replicas(fake), fake.made) == (3, 4)
    with pytest.raises(TokenConflict):
        cloud.create(asked())


def test_what_somebody_else_ended_is_replaced_by_its_owner_and_taken_by_the_next_create() -> None:
    """A health check deletes the Machine: the owner makes another, so nothing is scaled for the next token."""
    fake, cloud = given()
    first = cloud.create(asked()).id
    looked(cloud)
    fake.remove("md-0-0004")
    fake.reconcile()
    with pytest.raises(NotFound):
        cloud.get(first)
    assert first not in looked(cloud)
    second = cloud.create(asked("create-2")).id
    assert replicas(fake) == 4
    assert looked(cloud)[second].tags[MACHINE_NAME] == "default/md-0-0005"
    assert fake.made == 5
    with pytest.raises(TokenConflict, match="ended"):
        cloud.create(asked())


def test_a_token_whose_machine_is_gone_makes_no_other() -> None:
    """Its answer says so while its line stands."""
    fake, cloud = given()
    cloud.create(asked())
    looked(cloud)
    fake.remove("md-0-0004")
    fake.reconcile()
    with pytest.raises(TokenConflict, match="is no more"):
        cloud.create(asked())
    assert replicas(fake) == 4


def test_a_delete_of_one_that_somebody_else_ended_ends_its_replacement() -> None:
    """Else the owner would go on with one Machine that is nobody's."""
    fake, cloud = given()
    made = cloud.create(asked()).id
    looked(cloud)
    fake.late = 1000
    fake.remove("md-0-0004")
    with pytest.raises(Busy, match="has not made"):
        cloud.delete(made)
    fake.reconcile()
    cloud.delete(made)
    fake.reconcile()
    assert replicas(fake) == 3
    assert len(fake.machines()) == 3
    assert sorted(fake.deleted) == ["md-0-0004", "md-0-0005"]


def test_a_delete_waits_for_a_machine_that_is_not_made_yet() -> None:
    """A scale-down now would end one of the others."""
    fake, cloud = given(late=100)
    made = cloud.create(asked()).id
    with pytest.raises(Busy, match="has not made"):
        cloud.delete(made)
    assert replicas(fake) == 4
    fake.reconcile()
    cloud.delete(made)
    fake.reconcile()
    assert (replicas(fake), fake.deleted) == (3, ["md-0-0004"])


def test_a_deployment_that_rolls_is_not_scaled_down() -> None:
    """Which of its MachineSets would lose a Machine is open then."""
    fake, cloud = given()
    made = cloud.create(asked()).id
    looked(cloud)
    fake.owner("md-0")["status"] = {"conditions": [{"type": "RollingOut", "status": "True"}]}
    with pytest.raises(Busy, match="replaces its Machines"):
        cloud.delete(made)
    fake.owner("md-0")["status"] = {"conditions": [{"type": "RollingOut", "status": "False"}]}
    cloud.delete(made)


# Adoption.


def test_a_machine_is_adopted_and_nothing_is_scaled() -> None:
    """Its labels of Cluster API stay; ours are added. A repeat is the same."""
    fake, cloud = given()
    adopt = asked(params=ClusterApiParams(machine="md-0-0002"))
    made = cloud.create(adopt)
    assert made == cloud.create(adopt) == cloud.get(made.id) == looked(cloud)[made.id]
    assert (made.id, made.state) == ("machines/md-0-0002/create-1", InstanceState.RUNNING)
    assert (replicas(fake), fake.made, book_of(fake, "md-0")) == (3, 3, {})
    labels = fake.objects["machines", "md-0-0002"]["metadata"]["labels"]
    assert labels[f"{GROUP}/deployment-name"] == "md-0"


def test_a_machine_is_adopted_by_one_only() -> None:
    """The other is told whose it is; one that is being deleted is nobody's to adopt, one that is not there neither."""
    fake, cloud = given()
    cloud.create(asked(params=ClusterApiParams(machine="md-0-0002")))
    with pytest.raises(Protected, match="adopted already"):
        cloud.create(asked("create-2", ClusterApiParams(machine="md-0-0002")))
    fake.late = 1000
    fake.remove("md-0-0001")
    with pytest.raises(TokenConflict, match="being deleted"):
        cloud.create(asked("create-3", ClusterApiParams(machine="md-0-0001")))
    with pytest.raises(Invalid, match="no machines nobody"):
        cloud.create(asked("create-4", ClusterApiParams(machine="nobody")))


def test_an_adopted_machine_is_ended_as_its_owner_demands() -> None:
    """With its MachineDeployment scaled down; without an owner it is deleted itself; one that leaves is left."""
    fake, cloud = given()
    made = cloud.create(asked(params=ClusterApiParams(machine="md-0-0002"))).id
    cloud.delete(made)
    assert (replicas(fake), fake.deleted) == (2, ["md-0-0002"])
    fake.put("machines", "lone", metadata={"labels": {}})
    lone = cloud.create(asked("create-2", ClusterApiParams(machine="lone"))).id
    fake.late = 1000
    cloud.delete(lone)
    cloud.delete(lone)
    assert len([line for line in fake.sent if line.startswith("DELETE")]) == 1
    fake.reconcile()
    assert fake.deleted == ["md-0-0002", "lone"]
    for gone in (lone, made):
        with pytest.raises(NotFound):
            cloud.delete(gone)
        with pytest.raises(NotFound):
            cloud.get(gone)


@pytest.mark.parametrize(("kind", "ends"), [("MachineSet", True), ("KubeadmControlPlane", False)])
def test_who_owns_an_adopted_machine_is_scaled_or_left(kind: str, ends: bool) -> None:
    """A MachineSet is scaled; a control plane is not kubenode's to scale."""
    fake, cloud = given()
    fake.put("machinesets", "ms", spec={"replicas": 1, "selector": {"matchLabels": {"set": "ms"}}})
    owner = [{"kind": "Cluster", "name": "c"}, {"kind": kind, "name": "ms", "controller": True}]
    fake.put("machines", "one", metadata={"ownerReferences": owner})
    made = cloud.create(asked(params=ClusterApiParams(machine="one"))).id
    if ends:
        cloud.delete(made)
    else:
        with pytest.raises(Protected, match="KubeadmControlPlane ms's"):
            cloud.delete(made)
    assert fake.objects["machinesets", "ms"]["spec"]["replicas"] == (0 if ends else 1)


# What it leaves alone.


def test_who_else_decides_of_the_replicas_is_not_overridden() -> None:
    """An autoscaler by annotation, or the topology of the Cluster by the fields it owns."""
    fake, cloud = given()
    fake.owner("md-0")["metadata"]["annotations"] = {f"{GROUP}/replicas-managed-by": ""}
    with pytest.raises(Protected, match="replicas-managed-by: somebody"):
        cloud.create(asked())
    fake.owner("md-0")["metadata"]["annotations"] = {}
    owned = {"manager": "capi-topology", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    fake.owner("md-0")["metadata"]["managedFields"] = [
        {"manager": "kubectl", "fieldsV1": owned["fieldsV1"]},
        owned,
    ]
    with pytest.raises(Protected, match="topology"):
        cloud.create(asked())
    owned["fieldsV1"] = {"f:spec": {"f:selector": {}}}
    cloud.create(asked())
    assert replicas(fake) == 4


@pytest.mark.parametrize(
    "selector", [None, {}, {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "x"}]}]
)
def test_an_owner_whose_machines_cannot_be_told_apart_is_not_scaled(selector: Any) -> None:
    """By expressions, or by nothing."""
    fake, cloud = given()
    fake.owner("md-0")["spec"]["selector"] = selector
    with pytest.raises(Invalid, match="matchLabels"):
        cloud.create(asked())
    assert replicas(fake) == 3


def test_an_owner_that_leaves_or_is_not_there_is_not_scaled() -> None:
    """The request is wrong and stays so."""
    fake, cloud = given()
    fake.owner("md-0")["metadata"]["deletionTimestamp"] = "2026-03-02T10:00:00Z"
    with pytest.raises(Invalid, match="being deleted"):
        cloud.create(asked())
    with pytest.raises(Invalid, match="no machinedeployments md-7 in namespace default"):
        cloud.create(asked(params=ClusterApiParams(machine_deployment="md-7")))


@pytest.mark.parametrize("token", ["", "a" * 64, "A", "a b", "-a"])
def test_a_token_that_is_no_label_is_refused(token: str) -> None:
    """Before anything is sent."""
    fake, cloud = given()
    with pytest.raises(Invalid, match="a token is a label"):
        cloud.create(asked(token))
    assert fake.sent == []


# Guards.


def test_what_a_person_has_put_there_counts_and_stays() -> None:
    """Their skip-remediation is enough for us, and is not ours to take away."""
    fake, cloud = given()
    made = cloud.create(asked(params=ClusterApiParams(machine="md-0-0002"))).id
    machine = fake.objects["machines", "md-0-0002"]
    machine["metadata"]["annotations"][SKIP] = ""
    cloud.guard(made, Guard(hands_off=True))
    assert cloud.get(made).guard == Guard(hands_off=True)
    cloud.guard(made, Guard())
    assert cloud.get(made).guard == Guard()
    assert machine["metadata"]["annotations"][SKIP] == ""


def test_a_guard_that_somebody_took_away_is_put_back() -> None:
    """It shows as gone, and setting it again mends it; a guard that is there is not written."""
    fake, cloud = given()
    made = cloud.create(asked(params=ClusterApiParams(machine="md-0-0002"))).id
    cloud.guard(made, Guard(hands_off=True, holds_end=True))
    del fake.objects["machines", "md-0-0002"]["metadata"]["annotations"][SKIP]
    assert cloud.get(made).guard == Guard(holds_end=True)
    cloud.guard(made, Guard(hands_off=True, holds_end=True))
    assert cloud.get(made).guard == Guard(hands_off=True, holds_end=True)
    patches = len([line for line in fake.sent if line.startswith("PATCH")])
    cloud.guard(made, Guard(hands_off=True, holds_end=True))
    assert len([line for line in fake.sent if line.startswith("PATCH")]) == patches
    cloud.guard(made, Guard())
    assert SKIP not in fake.objects["machines", "md-0-0002"]["metadata"]["annotations"]


def test_a_guard_of_nobody_is_not_found() -> None:
    """So is one of an instance whose Machine is not made yet."""
    _, cloud = given(late=100)
    made = cloud.create(asked()).id
    for one in (made, "machines/nobody/t"):
        with pytest.raises(NotFound):
            cloud.guard(one, Guard(hands_off=True))


# What is read.


@pytest.mark.parametrize(
    ("phase", "state"), [*PHASES.items(), ("Failed", InstanceState.UNKNOWN), ("Odd", InstanceState.UNKNOWN)]
)
def test_a_phase_is_a_state(phase: str, state: InstanceState) -> None:
    """One that is not known is not guessed."""
    _, cloud = given(phase=phase)
    assert cloud.create(asked(params=ClusterApiParams(machine="md-0-0001"))).state is state


def test_a_machine_that_leaves_is_deleting_whatever_its_phase() -> None:
    """It counts until it is gone."""
    fake, cloud = given()
    made = cloud.create(asked(params=ClusterApiParams(machine="md-0-0002"))).id
    fake.late = 1000
    fake.remove("md-0-0002")
    assert cloud.get(made).state is InstanceState.DELETING


def test_addresses_are_private_ones_first_and_the_age_is_aware() -> None:
    """As every provider gives them."""
    fake, cloud = given()
    status = fake.objects["machines", "md-0-0002"]["status"]
    status["addresses"] = [
        {"type": "ExternalIP", "address": "203.0.113.4"}, {"type": "Odd", "address": "?"}, {"type": "InternalIP", "address": "10.0.0.4"},
    ]  # fmt: skip
    made = cloud.create(asked(params=ClusterApiParams(machine="md-0-0002")))
    assert made.addresses == ("10.0.0.4", "203.0.113.4")
    assert made.created_at is not None
    assert made.created_at.utcoffset() is not None


@pytest.mark.parametrize("spoilt", ["{", "[]"])
def test_spoilt_tags_count_as_none(spoilt: str) -> None:
    """So the instance counts as untagged, and is left alone."""
    fake, cloud = given()
    made = cloud.create(asked(params=ClusterApiParams(machine="md-0-0002"))).id
    fake.objects["machines", "md-0-0002"]["metadata"]["annotations"]["clusterapi.kubenode.dev/tags"] = spoilt
    assert cloud.get(made).tags == {MACHINE_NAME: "default/md-0-0002"}


def test_a_claim_without_an_origin_is_not_ours_to_show() -> None:
    """Somebody else's label."""
    fake, cloud = given()
    labels = fake.objects["machines", "md-0-0002"]["metadata"]["labels"]
    labels["clusterapi.kubenode.dev/claim"] = "x"
    assert looked(cloud) == {}
    fake.objects["machines", "md-0-0002"]["metadata"]["annotations"]["clusterapi.kubenode.dev/claim-of"] = (
        "pods/x"
    )
    assert looked(cloud) == {}


@pytest.mark.parametrize("name", ["", "i-1", "machines/x", "pods/x/t", "machines//t", "a/b/c/d"])
def test_an_id_of_another_provider_is_not_found(name: str) -> None:
    """Nothing is asked."""
    fake, cloud = given()
    for call in (cloud.get, cloud.delete):
        with pytest.raises(NotFound):
            call(name)
    assert fake.sent == []


def test_a_cursor_of_another_provider_is_refused() -> None:
    """It cannot be walked on."""
    _, cloud = given()
    with pytest.raises(Invalid, match="no cursor"):
        cloud.find({}, "x:1")


def test_pages_are_walked_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of instances, and of the Machines of an owner."""
    monkeypatch.setattr("kubenode.providers.clusterapi.driver.PAGE", 2)
    fake, cloud = given(5)
    made = {cloud.create(asked(f"create-{number}")).id for number in range(5)}
    assert set(looked(cloud)) == made
    assert fake.made == 10


# The wire.


def test_the_best_version_that_is_served_is_asked_for_once() -> None:
    """Both are read and written in the same way."""
    for versions, chosen in ((("v1beta1", "v1beta2"), "v1beta2"), (("v1beta1",), "v1beta1")):
        fake, cloud = given(versions=versions)
        made = cloud.create(asked()).id
        looked(cloud)
        cloud.delete(made)
        assert fake.sent.count(f"GET /apis/{GROUP}") == 1
        assert all(f"/{chosen}/" in line for line in fake.sent[1:])


@pytest.mark.parametrize(("versions", "text"), [((), "known here: v1beta2"), (("v2",), "served in v2")])
def test_versions_that_are_not_known_are_refused(versions: tuple[str, ...], text: str) -> None:
    """Nothing is guessed about their fields."""
    _, cloud = given(versions=versions)
    with pytest.raises(Invalid, match=text):
        cloud.get("machines/a/t")


def test_a_cluster_without_cluster_api_is_told() -> None:
    """With what to do."""
    cloud = ClusterApiProvider(SETTINGS, send=lambda *_: Answer(status=404, body={}))
    with pytest.raises(Invalid, match="name the management cluster"):
        cloud.create(asked())


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, AuthFailed), (403, AuthFailed), (409, Busy), (422, Invalid), (400, Invalid), (429, Throttled), (500, Unavailable), (503, Unavailable),
    ],
)  # fmt: skip
def test_an_answer_has_a_meaning(status: int, error: type[ProviderError]) -> None:
    """And says what the server said."""
    answer = Answer(status=status, body={"message": "because"}, retry_after=7.0)
    cloud = ClusterApiProvider(SETTINGS, send=lambda *_: answer)
    with pytest.raises(error, match="because") as found:
        cloud.get("machines/a/t")
    assert status == 429 or type(found.value).__name__ in ("Denied", error.__name__)
    if status == 429:
        assert found.value.retry_after is not None
        assert found.value.retry_after.total_seconds() == 7
        with pytest.raises(Throttled, match="budget"):
            cloud.get("machines/a/t")


def test_a_write_whose_answer_is_lost_is_ambiguous() -> None:
    """An error of the server too: it may have been done."""
    fake, cloud = given()
    adopt = asked(params=ClusterApiParams(machine="md-0-0002"))
    cloud.create(adopt)

    def broken(method: str, path: str) -> None:
        if method == "PATCH":
            raise TimeoutError

    fake.before = broken
    for call in (
        lambda: cloud.delete("machines/md-0-0002/create-1"),
        lambda: cloud.create(asked("create-9")),
    ):
        with pytest.raises(Ambiguous):
            call()


def test_a_budget_is_kept() -> None:
    """A call that it does not allow is not sent."""
    fake = FakeManagement({"md-0": 1})
    cloud = ClusterApiProvider(ClusterApiSettings(calls_per_second=0.001, burst=1), send=fake.send)
    with pytest.raises(Throttled):
        cloud.get("machines/a/t")
    assert len(fake.sent) == 1


def test_nothing_is_told_of_a_kubeconfig() -> None:
    """The namespace and the context are."""
    cloud = ClusterApiProvider(ClusterApiSettings(kubeconfig="/secret", context="c"))
    assert (
        repr(cloud) == "ClusterApiProvider(Management(namespace='default', context='c'), name='clusterapi')"
    )


@pytest.mark.parametrize("given", [{}, {"machine": "a", "machine_set": "b"}])
def test_parameters_name_exactly_one(given: dict[str, str]) -> None:
    """Of the three."""
    with pytest.raises(ValueError, match="write one of machine_deployment, machine_set and machine"):
        ClusterApiParams(**given)


@pytest.mark.parametrize("setting", ["calls_per_second", "burst"])
def test_a_budget_of_nothing_is_refused(setting: str) -> None:
    """It would never call."""
    with pytest.raises(ValueError, match="write more than 0"):
        ClusterApiSettings(**{setting: 0})


def test_the_book_is_json_that_people_can_read() -> None:
    """As `kubectl get -o yaml` shows it."""
    fake, cloud = given(late=100)
    cloud.create(asked())
    text = fake.owner("md-0")["metadata"]["annotations"]["clusterapi.kubenode.dev/book"]
    assert json.loads(text) == {"create-1": {"is": "pending", "tags": TAGS}}
