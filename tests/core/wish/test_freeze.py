"""The freeze switch: what each word makes of the policies, by table and as a law."""

from datetime import timedelta, timezone

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.errors import InvalidObjectError
from kubenode.core.model.risk import Freeze, Scope
from kubenode.core.wish.freeze import MOST, POLICY, acknowledge, freeze, parse_scope, scopes_of, unfreeze
from kubenode.core.wish.wish import Unwished, Wish
from tests.core.wish.said import START, obeyed

HOUR = timedelta(hours=1)
ZONE_B = Freeze(scope=Scope.ZONE, name="b", reason="power")
NODE = Freeze(scope=Scope.NODE, name="n1", reason="vendor")
CLUSTER = Freeze(scope=Scope.CLUSTER, reason="stop")
SCOPES = st.sampled_from([("zone", "a"), ("zone", ""), ("region", "eu"), ("set", "a"), ("node", "a"), ("cluster", ""), ("fleet", "")])  # fmt: skip


def policy(*freezes: Freeze, name: str = POLICY) -> m.Json:
    """Give a policy as it is read."""
    spec = m.RiskPolicySpec(freeze=freezes)
    return wire.dump(m.RiskPolicy(metadata=m.ObjectMeta(name=name, uid=f"uid-{name}"), spec=spec))


def frozen(raw: m.Json | None, wish: Wish) -> tuple[Freeze, ...]:
    """Give what a policy freezes after a wish."""
    after = wish.made if raw is None else obeyed(raw, wish)
    assert after is not None
    return wire.read(after, m.RiskPolicy).spec.freeze


@given(SCOPES)
def test_a_scope_is_read_as_it_is_listed(scope: tuple[str, str]) -> None:
    """What the list of frozen scopes shows is what the word takes; `zone=` is that of Nodes without the label."""
    word, name = scope
    one = Freeze(scope=Scope(word), name=name, reason="x")
    (listed,) = scopes_of([policy(one)])
    assert parse_scope(listed) == (Scope(word), name)


@pytest.mark.parametrize("text", ["", "zone", "cluster=", "fleet=a", "rack=1", "set=", "node=", "Zone=b"])
def test_what_is_no_scope(text: str) -> None:
    """Only zone and region may be of Nodes without a label, and what is whole has no name."""
    with pytest.raises(InvalidObjectError, match="is no scope"):
        parse_scope(text)


@pytest.mark.parametrize(("text", "scope"), [("zone=", Scope.ZONE), ("region=", Scope.REGION)])
def test_nodes_without_a_label(text: str, scope: Scope) -> None:
    """They are a zone, and a region, of their own."""
    assert parse_scope(text) == (scope, "")


def test_the_first_freeze_makes_the_policy() -> None:
    """It holds that one alone."""
    wish = freeze(None, Scope.ZONE, "b", "power", None, START)
    assert (wish.object, wish.changes, wish.operations) == (m.Ref(kind="RiskPolicy", name=POLICY), True, ())
    assert frozen(None, wish) == (ZONE_B,)
    assert wish.did == "zone b frozen until a person ends it"


def test_an_end_is_said_with_its_time_zone() -> None:
    """As the person gave it."""
    until = START.astimezone(timezone(2 * HOUR))
    wish = freeze(None, Scope.CLUSTER, "", "stop", until, START)
    assert wish.did == "cluster frozen until 2026-01-01T02:00:00+02:00"


def test_what_it_keeps() -> None:
    """The same scope is replaced, what has ended goes, and everything else stays in its order."""
    ended, lasting = attrs.evolve(CLUSTER, until=START), attrs.evolve(NODE, until=START + HOUR)
    raw = policy(ZONE_B, ended, lasting, attrs.evolve(NODE, name="n2"))
    wish = freeze(raw, Scope.ZONE, "b", "power, longer", START + HOUR, START)
    again = attrs.evolve(ZONE_B, reason="power, longer", until=START + HOUR)
    assert frozen(raw, wish) == (lasting, attrs.evolve(NODE, name="n2"), again)
    assert wish.object == m.Ref(kind="RiskPolicy", name=POLICY, uid=f"uid-{POLICY}")


def test_a_full_policy_refuses_another_scope_but_not_the_same() -> None:
    """Nothing is dropped silently to make room."""
    raw = policy(*(attrs.evolve(NODE, name=f"n{i}") for i in range(MOST)))
    with pytest.raises(Unwished, match=f"has {MOST} freezes") as caught:
        freeze(raw, Scope.ZONE, "b", "power", None, START)
    assert "unfreeze" in caught.value.fix
    assert len(frozen(raw, freeze(raw, Scope.NODE, "n3", "again", None, START))) == MOST


def test_unfreeze_goes_to_every_policy_that_has_it_and_to_no_other() -> None:
    """Wider and narrower scopes stay."""
    both, one, none = policy(ZONE_B, NODE, name="a"), policy(ZONE_B, name="b"), policy(CLUSTER, name="c")
    wishes = unfreeze([both, one, none], Scope.ZONE, "b")
    assert [wish.object.name for wish in wishes] == ["a", "b"]
    assert [frozen(raw, wish) for raw, wish in zip((both, one), wishes, strict=True)] == [(NODE,), ()]
    assert wishes[0].did == "zone b no longer frozen by RiskPolicy a"
    assert unfreeze([none], Scope.CLUSTER, "")[0].did.startswith("cluster no longer")


@given(SCOPES, st.lists(SCOPES, unique=True, max_size=4))
def test_unfreeze_undoes_freeze(scope: tuple[str, str], others: list[tuple[str, str]]) -> None:
    """What else was frozen is as before, and nothing of the scope is left."""
    word, name = Scope(scope[0]), scope[1]
    raw = policy(*(Freeze(scope=Scope(kind), name=of, reason="x") for kind, of in others))
    on = obeyed(raw, freeze(raw, word, name, "y", None, START))
    assert on is not None
    (off,) = unfreeze([on], word, name)
    rest = tuple(one for one in wire.read(raw, m.RiskPolicy).spec.freeze if (one.scope, one.name) != (word, name))  # fmt: skip
    assert frozen(on, off) == rest


def test_scopes_of_several_policies_are_told_once_and_sorted() -> None:
    """As the command line takes them."""
    assert scopes_of([policy(ZONE_B, CLUSTER), policy(NODE, ZONE_B)]) == ("cluster", "node=n1", "zone=b")


@pytest.mark.parametrize(
    ("lost", "known", "told"), [(0, 0, None), (3, 3, None), (2, 3, None), (5, 3, "2 lost")]
)
def test_acknowledge_names_the_losses_that_were_seen(lost: int, known: int, told: str | None) -> None:
    """No more than the status shows; none where they are acknowledged."""
    labels = {"pool": "a"}
    spec = m.MachineTemplateSpec(infrastructure=m.Infrastructure(provider="memory"))
    owner = m.MachineSet(
        metadata=m.ObjectMeta(name="a", uid="u"),
        spec=m.MachineSetSpec(
            selector=m.Selector(match_labels=labels),
            template=m.MachineTemplate(labels=labels, spec=spec),
            acknowledged_losses=known,
        ),
        status=m.MachineSetStatus(lost=lost),
    )
    raw = wire.dump(owner)
    wish = acknowledge(raw)
    if wish is None:
        assert told is None
        return
    assert told is not None
    assert wish.did.startswith(told)
    after = obeyed(raw, wish)
    assert after is not None
    assert after["spec"]["acknowledgedLosses"] == lost
    assert acknowledge(after) is None
