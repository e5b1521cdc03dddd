"""A second opinion on what the fake assumes: moto's server, where it is right (it knows no ClientToken and no events)."""

from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer

from kubenode.providers import CreateRequest, InstanceState, NotFound, Power
from kubenode.providers.aws import AwsParams, AwsProvider, AwsSettings, Disk


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
    """What does not exist is NotFound, and to delete it is no error."""
    with pytest.raises(NotFound):
        provider.get("i-0123456789abcdef0")
    provider.delete("i-0123456789abcdef0")
