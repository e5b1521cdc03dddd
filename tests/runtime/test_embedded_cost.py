"""What a write to the embedded store looks at, counted: what it changes, not what the object holds; and no other answer for it."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.crd import schema_of
from kubenode.core.errors import ApiError
from kubenode.core.model.condition import Condition
from kubenode.core.schema import faults, tidy
from kubenode.runtime.store import embedded, patches, states
from kubenode.runtime.store.contract import MergePatch
from kubenode.runtime.store.embedded import EmbeddedStore, now_or_never

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WALKS: tuple[tuple[ModuleType, str], ...] = (
    (tidy, "_pruned"), (tidy, "_filled"), (faults, "_check"), (patches, "adopted"), (patches, "merged"),
)  # fmt: skip
"""The recursive walks of a write: one call a value looked at."""


@pytest.fixture
def walked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Count the values that each walk looks at."""
    counts = Counter[str]()

    def counting(name: str, walk: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **more: Any) -> Any:
            counts[name] += 1
            return walk(*args, **more)

        return counted

    for module, name in WALKS:
        walk = counting(name, getattr(module, name))
        monkeypatch.setattr(module, name, walk)
        for user in (embedded, states):
            if hasattr(user, name):
                monkeypatch.setattr(user, name, walk)
    return counts  # type: ignore[return-value]


def stored(*, taints: int = 0, conditions: int = 0) -> EmbeddedStore:
    """A store with the machine `m1`, of so large a spec and status."""
    store = EmbeddedStore([(m.Machine.KIND, schema_of(m.Machine))], clock=lambda: NOW, cel=False)
    spec = m.MachineSpec(
        host=m.Host(address="10.0.0.1"),
        taints=tuple(m.Taint(key=f"k{n}", effect=m.TaintEffect.NO_SCHEDULE) for n in range(taints)),
    )
    now_or_never(
        store.create(m.Machine.KIND, wire.dump(m.Machine(metadata=m.ObjectMeta(name="m1"), spec=spec)))
    )
    write(store, {"phase": "Pending", "conditions": [condition(f"C{n}") for n in range(conditions)]})
    return store


def condition(type: str, holds: bool = True) -> m.Json:
    """A condition as the engine writes it, with all defaults."""
    made = Condition(type=type, status=m.Switch(str(holds)), reason="Told", last_transition_time=NOW)
    return dict(wire.dump_part(made))


def write(store: EmbeddedStore, status: Any) -> m.Json:
    """Merge a status into `m1`."""
    return now_or_never(
        store.patch(m.Machine.KIND, "m1", MergePatch({"status": status}), subresource="status")
    )


def cost(walked: Counter[str], store: EmbeddedStore, status: m.Json) -> Counter[str]:
    """Count what one write of a status looks at."""
    walked.clear()
    before = now_or_never(store.get(m.Machine.KIND, "m1"))
    assert write(store, status) is not before
    return Counter(walked)


def test_a_status_write_never_looks_at_the_spec(walked: Counter[str]) -> None:
    """With thirty taints or none, the same number of values is merged, pruned, filled in, judged and compared."""
    small, large = (cost(walked, stored(taints=count), {"phase": "Running"}) for count in (0, 30))
    assert small == large
    assert set(small) == {name for _, name in WALKS}


def test_a_status_write_does_not_look_again_at_the_conditions_that_stood(walked: Counter[str]) -> None:
    """One of two, or of twenty, changes: those that stay are told by identity, and neither tidied nor judged."""
    costs = []
    for count in (2, 20):
        store = stored(conditions=count)
        changed = [condition(f"C{n}", n != 1) for n in range(count)]
        costs.append(cost(walked, store, {"conditions": changed}))
    for name in ("_pruned", "_filled", "_check"):
        assert costs[0][name] == costs[1][name] > 0


def test_the_count_counts(walked: Counter[str]) -> None:
    """Twice as many new conditions are more to judge: the two tests above can fail."""
    fewer, more = (
        cost(walked, stored(), {"conditions": [condition(f"C{n}") for n in range(k)]}) for k in (2, 4)
    )
    assert more["_check"] > fewer["_check"]


FIELDS = st.sampled_from(
    (
        "phase",
        "observedGeneration",
        "conditions",
        "agent",
        "nodeRef",
        "components",
        "name",
        "kind",
        "metadata",
        "bogus",
    )
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(("", "x", "Running", "2026-01-01T00:00:00Z")),
    lambda below: st.lists(below, max_size=2) | st.dictionaries(FIELDS, below, max_size=3),
    max_leaves=6,
)  # fmt: skip
STATUSES = st.dictionaries(FIELDS, VALUES, max_size=4) | VALUES


def answer(store: EmbeddedStore, status: Any) -> object:
    """Give what the store says to a write of a status: the object, or the refusal; and the warnings so far."""
    try:
        said: object = write(store, status)
    except ApiError as error:
        said = (type(error), str(error))
    return said, tuple(store.warnings)


class Thorough(EmbeddedStore):
    """A store that prunes, fills in and compares the whole object at each status write."""

    def _with_tidy_status(
        self, table: Any, before: m.Json, given: m.Json, metadata: m.Json, owners: Any
    ) -> m.Json:
        """As for any other write."""
        whole = self._tidied(table, states.with_status(before, given), metadata, before, owners)
        return patches.adopted(whole, before)  # type: ignore[no-any-return]


@given(st.lists(STATUSES, max_size=4))
def test_looking_at_the_status_alone_gives_no_other_answer(statuses: list[Any]) -> None:
    """Whatever is written, good, bad or unknown, and whatever stood before: object, refusal and warnings are the same."""
    quick = stored(conditions=1)
    thorough = stored(conditions=1)
    thorough.__class__ = Thorough
    for status in statuses:
        assert answer(quick, status) == answer(thorough, status)
