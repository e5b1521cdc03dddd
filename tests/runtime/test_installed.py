"""What is looked at before a controller writes anything: the server's version, our rights, and our definitions."""

import asyncio
import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.crd import crd_of, schema_of
from kubenode.core.errors import NotInstalled, Unreachable
from kubenode.core.model import Json
from kubenode.core.schema.compare import lacking
from kubenode.runtime.cli.output import code_of
from kubenode.runtime.controller.rights import rights
from kubenode.runtime.store.rights import Right, lease_rights
from tests.runtime.api_server import ApiServer, FakeTime, store_of


def crds() -> dict[str, Json]:
    """Give our definitions as a server has them, by name."""
    return {crd["metadata"]["name"]: crd for crd in map(crd_of, m.KINDS)}


class Cluster(ApiServer):
    """A server of some version with some definitions, on which some rights are granted."""

    def __init__(
        self, *, version: Json | None = None, definitions: dict[str, Json] | None = None,
        denied: Callable[[Json], bool] = lambda _: False,
    ) -> None:  # fmt: skip
        super().__init__()
        self._version = version or {"major": "1", "minor": "32+", "gitVersion": "v1.32.0"}
        self._definitions = crds() if definitions is None else definitions
        self._denied = denied

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        name = request.path.rsplit("/", 1)[-1]
        if request.path == "/version":
            return web.json_response(self._version)
        if name == "selfsubjectaccessreviews":
            asked = (await request.json())["spec"]["resourceAttributes"]
            return web.json_response({"status": {"allowed": not self._denied(asked)}}, status=201)
        if name in self._definitions:
            return web.json_response(self._definitions[name])
        return web.json_response({"kind": "Status", "code": 404, "reason": "NotFound"}, status=404)


def checked(cluster: Cluster, wanted: tuple[Right, ...] = rights()) -> str:
    """Check a cluster, and give what is said."""

    async def main() -> str:
        async with cluster, store_of(cluster, FakeTime()) as store:
            try:
                await store.check(m.KINDS, wanted)
            except NotInstalled as found:
                return f"{code_of(found)} {found}"
            return "1 "

    code, _, said = asyncio.run(main()).partition(" ")
    assert code == "1"
    return said


def test_a_cluster_with_all_of_it_is_fit() -> None:
    """Nothing is said."""
    assert checked(Cluster()) == ""


@pytest.mark.parametrize(("major", "minor", "old"), [
    ("1", "31", True), ("1", "31+", True), ("0", "99", True), ("1", "32", False), ("1", "36", False), ("2", "0", False),
    ("", "", True),
])  # fmt: skip
def test_a_server_that_is_too_old_is_named(major: str, minor: str, old: bool) -> None:
    """1.32 is the oldest; the text has its version and what to do."""
    said = checked(Cluster(version={"major": major, "minor": minor, "gitVersion": f"v{major}.{minor}.0"}))
    wanted = (
        f"server: kube-apiserver v{major}.{minor}.0 is older than 1.32\n    fix: upgrade it to 1.32 or newer"
    )
    assert said == (wanted if old else "")


def test_missing_definitions_are_one_problem() -> None:
    """The first few are named; the fix installs all."""
    said = checked(Cluster(definitions={}))
    assert said.startswith(
        "crd: not installed: machines, machinesets, machinecomponents, machinecomponentsets and 4 more"
    )
    assert said.endswith("fix: kubenode manifests | kubectl apply -f -")
    one = crds()
    del one["machines.kubenode.dev"]
    assert checked(Cluster(definitions=one)).startswith("crd: not installed: machines\n")


def changed(change: Callable[[Json], object]) -> dict[str, Json]:
    """Give our definitions with that of Machine changed."""
    made = copy.deepcopy(crds())
    change(made["machines.kubenode.dev"])
    return made


def schema(crd: Json) -> Any:
    """Give the schema of a definition."""
    return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]


@pytest.mark.parametrize(("change", "lost"), [
    (lambda crd: schema(crd)["spec"]["properties"].pop("host"), "spec.host"),
    (lambda crd: schema(crd)["status"]["properties"]["agent"]["properties"].pop("bootID"), "status.agent.bootID"),
    (lambda crd: schema(crd)["spec"]["properties"]["components"]["additionalProperties"]["properties"].pop("batch"),
     "spec.components.*.batch"),
    (lambda crd: schema(crd)["spec"]["properties"]["taints"]["items"]["properties"].pop("value"), "spec.taints[].value"),
    (lambda crd: crd["spec"]["versions"][0].pop("subresources"), "the status subresource"),
    (lambda crd: crd["spec"]["versions"][0].update(name="v1alpha0"), "all of v1alpha1"),
    (lambda crd: crd["spec"]["versions"][0].update(served=False), "all of v1alpha1"),
])  # fmt: skip
def test_a_definition_that_would_drop_what_we_write_is_older(
    change: Callable[[Json], object], lost: str
) -> None:
    """The server would answer 200 and lose the field: both revisions are told, what would be lost, and the fix."""
    definitions = changed(change)
    definitions["machines.kubenode.dev"]["metadata"]["annotations"] = {"kubenode.dev/schema-revision": "0000"}
    said = checked(Cluster(definitions=definitions))
    assert said.startswith("crd machines.kubenode.dev: is older than this program (schema 0000, not ")
    assert f"it would drop {lost}" in said
    assert said.endswith("fix: kubenode manifests | kubectl apply -f -")


@pytest.mark.parametrize("change", [
    lambda crd: schema(crd)["spec"]["properties"].update(fresh={"type": "string"}),
    lambda crd: schema(crd)["spec"]["properties"]["host"]["properties"]["address"].update(maxLength=9),
    lambda crd: schema(crd).update(spec={"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
    lambda crd: crd["spec"]["versions"].insert(0, {"name": "v1", "served": True, "schema": {}}),
    lambda crd: crd["metadata"].pop("annotations"),
])  # fmt: skip
def test_a_definition_that_has_more_is_a_newer_one(change: Callable[[Json], object]) -> None:
    """An older controller on a newer definition loses nothing, and runs."""
    assert checked(Cluster(definitions=changed(change))) == ""


def test_a_definition_that_is_being_deleted_is_no_ground_to_stand_on() -> None:
    """Somebody uninstalls: whoever wrote there would lose it."""
    definitions = changed(lambda crd: crd["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z"))
    said = checked(Cluster(definitions=definitions))
    assert said.startswith("crd: being deleted: machines.kubenode.dev\n    fix: kubenode uninstall")


@pytest.mark.parametrize("right", [*rights(), *lease_rights("kubenode-controller")], ids=str)
def test_each_right_that_is_missing_is_named(right: Right) -> None:
    """Verb, resource, name and namespace; one line, one fix."""

    def denied(asked: Json) -> bool:
        resource = f"{asked['resource']}/{asked['subresource']}".rstrip("/")
        found = Right(
            group=asked["group"], resource=resource, verb=asked["verb"], name=asked["name"], namespace=asked["namespace"]
        )  # fmt: skip
        return found == right

    said = checked(Cluster(denied=denied), (*rights(), *lease_rights("kubenode-controller")))
    assert said.splitlines()[0] == f"rbac: no permission to {right}"
    assert said.count("\n") == 1
    assert "fix: grant it: kubenode manifests | kubectl apply -f -" in said


def test_a_server_that_is_away_is_no_problem_of_the_installation() -> None:
    """It cannot be told, which is another exit status."""

    async def main() -> None:
        async with ApiServer(listening=False) as server, store_of(server, FakeTime()) as store:
            with pytest.raises(Unreachable) as found:
                await store.check(m.KINDS, rights())
            assert code_of(found.value) == 3

    asyncio.run(main())


@given(st.data())
def test_whatever_field_is_missing_is_found(data: st.DataObject) -> None:
    """Any property of any kind's schema that a server does not have is told by its path; with all there, nothing is."""
    cls = data.draw(st.sampled_from(m.KINDS))
    wanted = schema_of(cls)
    assert list(lacking(json.loads(json.dumps(wanted)), wanted)) == []
    served = copy.deepcopy(wanted)
    path, within = _chosen(data, served)
    assert path in list(lacking(served, wanted)), within


def _chosen(data: st.DataObject, served: Json) -> tuple[str, Json]:
    """Take a property out of a schema, somewhere below spec or status, and give its path."""
    path, at = "", served
    while True:
        known = at.get("properties") or {}
        names = sorted(known if path else set(known) - {"apiVersion", "kind", "metadata"})
        if names:
            name = data.draw(st.sampled_from(names))
            below = f"{path}.{name}" if path else name
            if data.draw(st.booleans()) or not _is_deep(known[name]):
                del known[name]
                return below, at
            path, at = below, known[name]
        elif isinstance(at.get("items"), dict):
            path, at = f"{path}[]", at["items"]
        else:
            path, at = f"{path}.*", at["additionalProperties"]


def _is_deep(part: Json) -> bool:
    """Tell whether there is a property somewhere below."""
    if part.get("properties"):
        return True
    inner = [part.get("items"), part.get("additionalProperties")]
    return any(isinstance(each, dict) and _is_deep(each) for each in inner)


@pytest.mark.parametrize(("state", "leaves"), [("there", False), ("leaving", True), ("gone", True)])
def test_whether_a_crd_leaves_is_read_by_its_name(state: str, leaves: bool) -> None:
    """Gone is leaving too; that another one leaves says nothing."""
    definitions = crds()
    definitions["machines.kubenode.dev"]["metadata"]["deletionTimestamp"] = "2026-03-02T00:00:00Z"
    if state == "leaving":
        definitions["machinesets.kubenode.dev"]["metadata"]["deletionTimestamp"] = "2026-03-02T00:00:00Z"
    elif state == "gone":
        del definitions["machinesets.kubenode.dev"]

    async def main() -> bool:
        async with Cluster(definitions=definitions) as cluster, store_of(cluster, FakeTime()) as store:
            return await store.leaves(m.MachineSet)

    assert asyncio.run(main()) is leaves
