"""A second opinion on what the fake assumes: moto's server, where it is right (it knows no ClientToken and no events)."""

from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer

from kubenode.providers import CreateRequest, InstanceState, NotFound, Power
from kubenode.providers.aws import AwsParams, AwsProvider, AwsSettings, Disk
from kubenode.providers.aws.checks import RIGHTS


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A moto server on the loopback."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def provider(url: str) -> Iterator[AwsProvider]:
    """A provider before it."""
    one = AwsProvider(AwsSettings(region="eu-west-1", endpoint_url=url))
    yield one
    one.ec2.client().close()


def test_a_life(provider: AwsProvider, url: str) -> None:
    """Created, found, tagged, stopped, started, rebooted, terminated: as moto has it, not as our fake has it."""
    ec2 = boto3.client("ec2", region_name="eu-west-1", endpoint_url=url)
    params = AwsParams(
        instance_type="t3.micro",
        image="ami-12c6146b",
        zone="eu-west-1b",
        disks=(Disk(device="/dev/sda1", size_gib=20),),
    )
    request = CreateRequest(
        token="t-1",
        machine="m1",
        params=params,
        tags={"kubenode.dev/machine": "u*1"},
        user_data=b"#!/bin/sh\n",
    )
    made = provider.create(request)
    assert (made.zone, made.provider_id) == ("eu-west-1b", f"aws:///eu-west-1b/{made.id}")
    assert (
        ec2.describe_instance_attribute(InstanceId=made.id, Attribute="userData")["UserData"]["Value"]
        == "IyEvYmluL3NoCg=="
    )
    row = ec2.describe_instances(InstanceIds=[made.id])["Reservations"][0]["Instances"][0]
    assert row["MetadataOptions"]["HttpTokens"] == "required"
    assert provider.get(made.id).state is InstanceState.RUNNING
    provider.set_tags(made.id, {"team": "a"})
    (found,) = provider.find({"team": "a", "Name": "m1"}, None).items
    assert found.tags == {"Name": "m1", "kubenode.dev/machine": "u*1", "team": "a"}
    provider.power(made.id, Power.OFF, "p1")
    assert provider.get(made.id).state is InstanceState.STOPPED
    provider.power(made.id, Power.ON, "p2")
    provider.power(made.id, Power.REBOOT, "p3")
    assert provider.get(made.id).state is InstanceState.RUNNING
    provider.delete(made.id)
    provider.delete(made.id)
    assert provider.get(made.id).state is InstanceState.TERMINATED
    ec2.close()


def test_nobody(provider: AwsProvider) -> None:
    """What does not exist is NotFound, also when it is to be deleted: that is AWS's word, and no proof."""
    with pytest.raises(NotFound):
        provider.get("i-0123456789abcdef0")
    with pytest.raises(NotFound):
        provider.delete("i-0123456789abcdef0")


def test_checks(provider: AwsProvider, url: str) -> None:
    """What moto knows of dry runs, images, subnets and offerings, and what is said when one is not as it should be."""
    ec2 = boto3.client("ec2", region_name="eu-west-1", endpoint_url=url)
    before = len(ec2.describe_instances()["Reservations"])
    subnet = ec2.describe_subnets(Filters=[{"Name": "availability-zone", "Values": ["eu-west-1b"]}])[
        "Subnets"
    ][0]
    ec2.close()
    params = AwsParams(instance_type="t3.micro", image="ami-12c6146b", zone="eu-west-1b")
    placed = AwsParams(instance_type="t3.micro", image="ami-12c6146b", subnet=subnet["SubnetId"])
    names = ("credentials", "look", *RIGHTS, "create", "image", "zone", "quota")
    assert provider.checks(params) == provider.checks(placed) == names
    # Whoever sends quotas nowhere learns nothing of them, and nothing is wrong with the rest.
    assert [provider.check(about, params).holds for about in names] == [*[True] * (len(names) - 1), None]
    assert provider.check("zone", placed).holds is True
    assert "free addresses" in provider.check("zone", placed).text
    wrong = {
        "image": AwsParams(instance_type="t3.micro", image="ami-0123456789abcdef0", zone="eu-west-1b"),
        "zone": AwsParams(instance_type="t3.micro", image="ami-12c6146b", zone="eu-west-1z"),
    }
    for about, bad in wrong.items():
        seen = provider.check(about, bad)
        assert (seen.holds, bool(seen.fix)) == (False, True), seen
    assert "eu-west-1a" in provider.check("zone", wrong["zone"]).fix
    torn = AwsParams(
        instance_type="t3.micro", image="ami-12c6146b", subnet=subnet["SubnetId"], zone="eu-west-1a"
    )
    assert "is in eu-west-1b, and the zone is to be eu-west-1a" in provider.check("zone", torn).text
    ec2 = boto3.client("ec2", region_name="eu-west-1", endpoint_url=url)
    assert len(ec2.describe_instances()["Reservations"]) == before
    ec2.close()
