"""The AWS provider keeps every law of the public kit: the real boto3 before a fake EC2."""

from botocore.exceptions import ReadTimeoutError

from kubenode.providers import conformance
from kubenode.providers.aws import AwsParams, AwsProvider
from tests.providers.aws.fake import FakeEc2, Refuse
from tests.providers.aws.loopback import in_process

PARAMS = AwsParams(instance_type="m7i.large", image="ami-1")
LOST = ReadTimeoutError(endpoint_url="https://ec2.eu-west-1.amazonaws.com/")


def make(wire: conformance.Wire) -> AwsProvider:
    """A sound cloud, which shows what it made from the second look on."""
    return in_process(wire, FakeEc2(late=1, told=wire.did))


def refusing(wire: conformance.Wire) -> AwsProvider:
    """A cloud that refuses all by a code that nobody knows."""
    operations = ("RunInstances", "DescribeInstances", "TerminateInstances")
    return in_process(wire, FakeEc2(refusals={name: [Refuse("SomethingNew")] * 9 for name in operations}))


test_aws = conformance.provider(
    make, params=PARAMS, lost=LOST,
    strange=lambda wire: in_process(wire, FakeEc2(word="hibernating")),
    late=lambda wire: in_process(wire, FakeEc2(late=3)), refusing=refusing,
    eventful=lambda wire: in_process(wire, FakeEc2(planned=True, page=2)),
    module="kubenode.providers.aws", sdk=["boto3", "botocore"],
)  # fmt: skip
