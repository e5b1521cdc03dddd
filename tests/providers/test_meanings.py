"""Each of the twelve meanings of an error comes from a code that each cloud really has, by one call, through the real SDK."""

from collections.abc import Callable
from typing import Any

import pytest

from kubenode.core import errors
from kubenode.providers import (
    Ambiguous,
    AuthFailed,
    Busy,
    CapacityExhausted,
    CreateRequest,
    Invalid,
    NotFound,
    Power,
    Protected,
    ProviderError,
    QuotaExceeded,
    Throttled,
    TokenConflict,
    Unavailable,
    Unsupported,
    conformance,
)
from kubenode.providers.aws import AwsParams
from tests.providers.aliyun.rig import request, rig
from tests.providers.aws.fake import FakeEc2, Refuse
from tests.providers.aws.loopback import in_process

ECS: dict[type[ProviderError], tuple[str, int, str]] = {
    Throttled: ("Throttling.User", 400, "look"),
    Unavailable: ("ServiceUnavailable", 503, "look"),
    Ambiguous: ("InternalError", 500, "create"),
    Busy: ("IncorrectInstanceStatus.Initializing", 403, "delete"),
    CapacityExhausted: ("OperationDenied.NoStock", 403, "create"),
    QuotaExceeded: ("QuotaExceed.ElasticQuota", 403, "create"),
    AuthFailed: ("InvalidAccessKeyId.NotFound", 404, "look"),
    Invalid: ("InvalidImageId.NotFound", 404, "create"),
    Unsupported: ("ChargeTypeViolation", 403, "delete"),
    Protected: ("InvalidOperation.DeletionProtection", 403, "delete"),
    NotFound: ("InvalidInstanceId.NotFound", 404, "stop"),
    TokenConflict: ("IdempotentParameterMismatch", 400, "create"),
}
EC2: dict[type[ProviderError], tuple[str, int, str]] = {
    Throttled: ("RequestLimitExceeded", 503, "look"),
    Unavailable: ("Unavailable", 503, "look"),
    Ambiguous: ("InternalError", 500, "create"),
    Busy: ("IncorrectInstanceState", 400, "stop"),
    CapacityExhausted: ("InsufficientInstanceCapacity", 500, "create"),
    QuotaExceeded: ("VcpuLimitExceeded", 400, "create"),
    AuthFailed: ("AuthFailure", 401, "look"),
    Invalid: ("InvalidAMIID.NotFound", 400, "create"),
    Unsupported: ("UnsupportedOperation", 400, "stop"),
    Protected: ("OperationNotPermitted", 400, "delete"),
    NotFound: ("InvalidInstanceID.NotFound", 400, "delete"),
    TokenConflict: ("IdempotentParameterMismatch", 400, "create"),
}
ECS_CALLS = {
    "look": "DescribeInstances",
    "create": "RunInstances",
    "delete": "DeleteInstance",
    "stop": "StopInstance",
}
EC2_CALLS = {
    "look": "DescribeInstances",
    "create": "RunInstances",
    "delete": "TerminateInstances",
    "stop": "StopInstances",
}


def act(cloud: Any, what: str, made: str, asked: CreateRequest[Any]) -> ProviderError:
    """Do one thing; give the error."""
    calls: dict[str, Callable[[], object]] = {
        "look": lambda: cloud.find({}, None), "create": lambda: cloud.create(asked), "delete": lambda: cloud.delete(made),
        "stop": lambda: cloud.power(made, Power.OFF, "p"),
    }  # fmt: skip
    with pytest.raises(ProviderError) as caught:
        calls[what]()
    return caught.value


def test_the_tables_have_every_meaning() -> None:
    """Those of `kubenode.providers`: twelve."""
    every = {
        kind for kind in vars(errors).values() if isinstance(kind, type) and ProviderError in kind.__bases__
    }
    assert len(every) == 12
    assert set(ECS) == set(EC2) == every


@pytest.mark.parametrize("meaning", ECS, ids=lambda kind: kind.__name__)
def test_a_code_of_ecs(meaning: type[ProviderError]) -> None:
    """That meaning and no other, by one call, with the code in its text."""
    code, status, what = ECS[meaning]
    one = rig()
    one.cloud.fail(ECS_CALLS[what], status, code)
    error = act(one.provider, what, "cn-hangzhou.i-bp00000000", request())
    assert type(error) is meaning
    assert code in str(error)
    assert one.cloud.calls == [ECS_CALLS[what]]


@pytest.mark.parametrize("meaning", EC2, ids=lambda kind: kind.__name__)
def test_a_code_of_ec2(meaning: type[ProviderError], monkeypatch: pytest.MonkeyPatch) -> None:
    """Likewise."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    code, status, what = EC2[meaning]
    fake = FakeEc2(refusals={EC2_CALLS[what]: [Refuse(code, status)]})
    asked = CreateRequest(
        token="t", machine="m", params=AwsParams(instance_type="m7i.large", image="ami-1"), tags={}
    )
    error = act(in_process(conformance.Wire(), fake), what, "i-0123456789abcdef0", asked)
    assert type(error) is meaning
    assert code in str(error)
    assert fake.calls == [EC2_CALLS[what]]
