"""User data in the call: by what the spec says, of the attempt that stands, and another attempt when it changes."""

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.decision import UserData
from kubenode.core.errors import Problem
from kubenode.core.instance.evidence import ABSENCE, VISIBLE
from kubenode.core.instance.intent import token_of
from kubenode.core.instance.keep import keep
from kubenode.core.model.meta import Switch
from tests.core.instance.given import (
    HERE,
    THERE,
    TOKEN,
    UID,
    WANTED,
    answer,
    asked,
    case,
    machine,
    said,
    status,
)

OTHER = "launch-with-other-user-data"
AGENT = m.AgentSource.USER_DATA


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({}, None),
        ({"agent": AGENT}, UserData(agent=True, attempt=3)),
        ({"user_data": "#!/bin/sh"}, UserData(own="#!/bin/sh", attempt=3)),
        ({"agent": AGENT, "user_data": "#!/bin/sh"}, UserData(own="#!/bin/sh", agent=True, attempt=3)),
    ],
)
def test_the_call_says_what_user_data_is_made_of(change: dict[str, object], wanted: UserData | None) -> None:
    """And never holds it: the token of an agent is nobody's to read in a record."""
    one = machine(
        status(attempt=3, token=token_of(UID, 3, HERE)), infrastructure=attrs.evolve(WANTED, **change)
    )
    assert asked(keep(case(one=one))).user_data == wanted


def test_no_user_data_is_asked_for_where_the_spec_names_no_provider_any_more() -> None:
    """What was begun is finished as it was begun."""
    assert asked(keep(case(one=machine(status(), infrastructure=None)))).user_data is None


@pytest.mark.parametrize("error", ["Invalid", "QuotaExceeded", "CapacityExhausted"])
def test_other_user_data_is_another_attempt_where_nothing_was_made(error: str) -> None:
    """Only the digest tells: neither provider nor parameters have changed."""
    given = {"wanted": (OTHER, THERE), "pinned": (OTHER, THERE)}
    found = keep(case(status(), answer=answer(error), **given)).instance
    assert found is not None
    assert (found.attempt, found.choice, found.token) == (2, 0, token_of(UID, 2, OTHER))
    broken = Problem(where="spec.infrastructure.userData", what="UserDataInvalid: no")
    for problem in (None, broken):
        same = keep(case(status(), answer=answer("Invalid"), problem=problem)).instance
        assert same == status()
    wrong = keep(case(status(), answer=answer("Invalid"), problem=broken, wanted=(), pinned=()))
    assert (wrong.instance, wrong.effects) == (status(), ())


def test_a_call_whose_user_data_is_another_now_is_looked_for_and_not_repeated() -> None:
    """Its token stands for what was sent: a cloud would refuse it, or make a second instance."""
    given = {"wanted": (OTHER,), "pinned": (OTHER,)}
    turn = keep(case(status(), **given))
    assert (turn.effects, said(turn)) == ((), (Switch.UNKNOWN, "CreateAmbiguous"))
    for looked, another in ((VISIBLE, False), (VISIBLE + ABSENCE, True)):
        turn = keep(
            case(status(), at=looked, looked=looked, missing=True, sightings=dict(turn.sightings), **given)
        )
        assert turn.instance is not None
        assert (turn.instance.token != TOKEN) is another


def test_malformed_user_data_asks_for_nothing_and_says_so_by_name() -> None:
    """Before any call."""
    problem = Problem(where="spec.infrastructure.userData", what="UserDataInvalid: it is no YAML at line 2")
    turn = keep(case(problem=problem, wanted=()))
    assert (turn.instance, turn.effects, said(turn)) == (None, (), (Switch.FALSE, "UserDataInvalid"))
    assert turn.claim.message == "spec.infrastructure.userData: it is no YAML at line 2"
