"""What the gate says of survivors: listed, not listed, stale, too many; and that a child sees its mutant."""

from pathlib import Path

import attrs
import pytest

from tests.mutation import gate
from tests.mutation.gate import Baseline, Job, judge
from tests.mutation.rules import Mutant, mutants

A, B, C = (f"kubenode.core.risk.window:f:flip:a < {n}#1" for n in (1, 2, 3))
MANY = [f"kubenode.core.risk.window:g:limit:{n} + 1#1" for n in range(200)]


def test_a_listed_survivor_passes() -> None:
    """Few survive, each with a reason, and every reason is of one that survives."""
    verdict = judge([A, *MANY], [A], {A: "equivalent"}, whole=["risk"])
    assert verdict.passed
    assert verdict.tried == {"risk": 201}


def test_an_unlisted_survivor_fails() -> None:
    """Nobody has said why it may live."""
    assert judge([A, *MANY], [A], {}, whole=["risk"]).unlisted == (A,)
    assert not judge([A, *MANY], [A], {}, whole=["risk"]).passed


def test_a_reason_of_one_that_is_noticed_is_stale() -> None:
    """So is one of a mutant that is no more, where all were tried; a sample cannot know."""
    assert judge([A, *MANY], [], {A: "equivalent"}, whole=["risk"]).stale == (A,)
    assert judge(MANY, [], {B: "equivalent"}, whole=["risk"]).stale == (B,)
    assert judge(MANY, [], {B: "equivalent"}, whole=[]).passed


def test_too_many_fail_although_listed() -> None:
    """Two in a hundred, and no more."""
    assert judge([A, B, *MANY[:98]], [A, B], {A: "x", B: "x"}, whole=["risk"]).passed
    assert not judge([A, B, C, *MANY[:97]], [A, B, C], {A: "x", B: "x", C: "x"}, whole=["risk"]).passed


def test_the_list_is_of_mutants_that_are_there() -> None:
    """Each has a reason of some words, and a place in the code as it is."""
    there = {
        mutant.id
        for name in gate.SCOPE
        for file in ((gate.CORE / name).rglob("*.py") if (gate.CORE / name).is_dir() else [gate.CORE / name])
        for mutant in mutants(
            file.read_text(), ".".join(file.relative_to(gate.ROOT / "src").with_suffix("").parts)
        )
    }
    assert len(there) > 1500
    listed = gate.listed()
    assert set(listed) <= there
    assert all(len(reason.split()) >= 4 for reason in listed.values())


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, Baseline]:
    """Give a module with a limit that one test looks at and one that none does."""
    module, test = tmp_path / "limits_of_gate.py", tmp_path / "test_limits.py"
    module.write_text("SEEN = 3\nUNSEEN = 5\n")
    test.write_text("import limits_of_gate\n\ndef test_seen():\n    assert limits_of_gate.SEEN == 3\n")
    name = f"{test}::test_seen"
    return module, Baseline(lines={str(module): {1: frozenset({name})}}, seconds={name: 0.01})


def test_a_child_runs_its_mutant(small: tuple[Path, Baseline], monkeypatch: pytest.MonkeyPatch) -> None:
    """Noticed is what a test looks at; the planted survivor is found, and nothing changed is no mutant."""
    module, known = small
    monkeypatch.setattr(gate, "BASE", [*gate.BASE, "--rootdir", str(module.parent), "-c", "/dev/null"])
    monkeypatch.syspath_prepend(module.parent)
    found = mutants(module.read_text(), "limits_of_gate")
    jobs = [
        Job(file=module, module="limits_of_gate", mutant=one, tests=tuple(known.tests_of(module, one)))
        for one in found
    ]
    alive = gate.survivors_of(jobs, known, "dev", workers=2)
    assert sorted(gate._ids(alive)) == ["limits_of_gate::limit:5 + 1#1", "limits_of_gate::limit:5 - 1#1"]
    gate.control(jobs, known, workers=1)
    broken = attrs.evolve(jobs[0], module="no_such_module", tests=(f"{module.parent}/test_none.py",))
    with pytest.raises(SystemExit, match="although nothing is changed: no_such_module"):
        gate.control([broken], known, workers=1)


def test_a_mutant_that_no_test_executes_survives(small: tuple[Path, Baseline]) -> None:
    """It is not run, and not forgotten."""
    module, known = small
    lost = Mutant(id="x", number=0, lines=(2, 2), at_import=False)
    assert known.tests_of(module, lost) == []
    job = Job(file=module, module="m", mutant=lost, tests=())
    assert gate.survivors_of([job], known, "dev", workers=1) == [job]
