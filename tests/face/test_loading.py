"""`load` and `dump`: objects of the wire, of files and of folders."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode import InvalidObjectError, NodeRemedier, Policy, RiskPolicy, dump, load
from kubenode.core.model import KINDS
from kubenode.core.policy import BUILT_IN, HUNG_TASK
from tests import strategies

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
LIMITS = """apiVersion: kubenode.dev/v1alpha1
kind: RiskPolicy
metadata: {name: ours}
spec: {limits: [{scope: zone, max: 1}]}
"""


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_what_is_dumped_is_loaded_again(kind: Any, data: st.DataObject) -> None:
    """Every valid object of our kinds, as it was."""
    obj = data.draw(strategies.objects(kind))
    assert load(dump(obj)) == obj


def test_paths_give_objects_in_the_order_of_the_documents(tmp_path: Path) -> None:
    """A path may be text; of a folder the files come by name."""
    (tmp_path / "b.yaml").write_text(LIMITS)
    (tmp_path / "a.yaml").write_text(LIMITS.replace("ours", "first"))
    objects = load(str(tmp_path), EXAMPLES / "hung.yaml")
    assert [obj.metadata.name for obj in objects][:2] == ["first", "ours"]
    assert {type(obj) for obj in objects} == {RiskPolicy, NodeRemedier}


def test_a_policy_is_read_from_files(tmp_path: Path) -> None:
    """`Policy.of(load(...))` is the policy that the files say."""
    (tmp_path / "limits.yaml").write_text(LIMITS)
    policy = Policy.of(load(tmp_path, EXAMPLES / "hung.yaml"))
    assert [one.metadata.name for one in policy.risk] == ["ours", "default"]
    assert [one.metadata.name for one in policy.remediers] == ["hung-task"]


def test_every_mistake_has_its_file_and_line(tmp_path: Path) -> None:
    """All of them at once."""
    (tmp_path / "limits.yaml").write_text(
        LIMITS.replace("zone", "rack") + "---\n" + LIMITS.replace("1}", "-1}")
    )
    with pytest.raises(InvalidObjectError) as caught:
        load(tmp_path)
    assert [(Path(one.file).name, one.line) for one in caught.value.problems] == [
        ("limits.yaml", 4), ("limits.yaml", 9),
    ]  # fmt: skip


@pytest.mark.parametrize("wrong", [7, None, [LIMITS]])
def test_what_is_neither_object_nor_path_is_told(wrong: Any) -> None:
    """With what to write instead; wherever it stands."""
    for paths in ((wrong,), (EXAMPLES, wrong)):
        with pytest.raises(InvalidObjectError) as caught:
            load(*paths)
        kind = type(wrong).__name__
        assert str(caught.value) == (
            f'source: a {kind} is neither an object of the wire nor a path\n    fix: load("policies/")'
        )


def test_a_missing_file_is_told() -> None:
    """As a mistake of whoever named it."""
    with pytest.raises(InvalidObjectError) as caught:
        load("no/such/policies.yaml")
    assert "policies.yaml" in str(caught.value)


@pytest.mark.parametrize("obj", [BUILT_IN, HUNG_TASK])
def test_what_is_shipped_is_valid(obj: Any) -> None:
    """The default policy would be accepted if somebody wrote it."""
    assert load(dump(obj)) == obj
