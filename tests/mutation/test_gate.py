"""What the gate says of survivors: listed, not listed, stale, too many; and that a child sees its mutant."""

from pathlib import Path

import attrs
import pytest

from tests.mutation import children
from tests.mutation.baseline import Baseline
from tests.mutation.children import Job, in_place, reimported, survivors_of, tried
from tests.mutation.gate import SCOPE, control, files_of, ids
from tests.mutation.rules import Mutant, mutants
from tests.mutation.verdict import judge, listed

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
    assert judge([A, B, C, *MANY[:97]], [A, B, C], {A: "x", B: "x", C: "x"}, whole=[]).passed


def test_the_list_is_of_mutants_that_are_there() -> None:
    """Each has a reason of some words, and a place in the code as it is."""
    there = {one.id for file, module in files_of(SCOPE) for one in mutants(file.read_text(), module)}
    assert len(there) > 1500
    reasons = listed()
    assert set(reasons) <= there
    assert all(len(reason.split()) >= 4 for reason in reasons.values())
    assert len(reasons) <= 0.02 * len(there)


SOURCE = """
SEEN, UNSEEN = 3, 5

def double(n):
    return n * 2

def treble(n):
    return n * 3

THRICE = treble(SEEN)

class Counter:
    @property
    def most(self):
        return abs(1)
"""
TESTS = """
from limits_of_gate import SEEN, Counter, double, treble

def test_seen():
    assert SEEN == 3

def test_double():
    assert double(1) == 2

def test_treble():
    assert treble(0) == 0

def test_most():
    assert Counter().most == 1
"""


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Job], Baseline]:
    """Give the mutants of a module of which its tests look at most, and the rest survives."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(children, "BASE", [*children.BASE, "--rootdir", str(tmp_path), "-c", "/dev/null"])
    module, test = tmp_path / "limits_of_gate.py", tmp_path / "test_limits.py"
    module.write_text(SOURCE)
    test.write_text(TESTS)
    monkeypatch.chdir(tmp_path)
    places = {"test_seen": 2, "test_double": 5, "test_treble": 8, "test_most": 15}
    names = {line: frozenset({f"test_limits.py::{name}"}) for name, line in places.items()}
    known = Baseline(
        lines={str(module): names}, early={str(module): frozenset({2, 4, 7, 8, 10, 12, 13, 14})}, seconds={}
    )
    jobs = [
        Job(file=module, module="limits_of_gate", mutant=one, tests=known.tests_of(module, one))
        for one in mutants(SOURCE, "limits_of_gate")
    ]
    return jobs, known


SURVIVORS = {
    "limits_of_gate::row:5#1", "limits_of_gate::limit:5 + 1#1", "limits_of_gate::limit:5 - 1#1",
    "limits_of_gate:treble:limit:3 + 1#1", "limits_of_gate:treble:limit:3 - 1#1",
}  # fmt: skip


def test_what_a_test_looks_at_is_noticed(small: tuple[list[Job], Baseline]) -> None:
    """Each child runs its mutant, whichever way it is tried, and the planted survivors are found."""
    jobs, known = small
    alive = survivors_of(jobs, known, "dev", workers=2)
    assert set(ids(alive)) == SURVIVORS - {"limits_of_gate::row:5#1"}
    again, unfit = tried(jobs, known, reimported("dev"), workers=2)
    assert (set(ids(again)), unfit) == (set(ids(alive)), [])


def test_in_a_function_a_mutant_is_tried_in_place(small: tuple[list[Job], Baseline]) -> None:
    """A property too; but not where something that is imported was made by it."""
    jobs, known = small
    late = [job for job in jobs if job.mutant is not None and known.is_late(job.file, job.mutant)]
    assert {one.split(":")[1] for one in ids(late)} == {"double", "Counter.most"}
    assert in_place(late, known, "dev", workers=2) == ([], [])
    swapped = [attrs.evolve(job, tests=("test_limits.py::test_seen",)) for job in late]
    alive, unfit = in_place(swapped, known, "dev", workers=2)
    assert (sorted(ids(alive)), unfit) == (sorted(ids(swapped)), [])


def test_what_cannot_be_tried_in_place_is_imported_anew(small: tuple[list[Job], Baseline]) -> None:
    """A function that nobody has imported is not there to be changed."""
    jobs, known = small
    late = [job for job in jobs if job.mutant is not None and known.is_late(job.file, job.mutant)]
    (late[0].file.parent / "test_limits.py").write_text(
        "def test_double():\n    pass\ndef test_most():\n    pass\n"
    )
    assert in_place(late, known, "dev", workers=1) == ([], late)


def test_where_tests_fail_by_themselves_nothing_is_said(
    small: tuple[list[Job], Baseline], tmp_path: Path
) -> None:
    """Nothing changed is no mutant: the control passes; where it does not, it says so, and in which module."""
    jobs, known = small
    control(jobs, known, workers=1)
    other = tmp_path / "other.py"
    other.write_text(SOURCE.replace("3, 5", "4, 5"))
    with pytest.raises(SystemExit, match="although nothing is changed: limits_of_gate"):
        control([attrs.evolve(jobs[0], file=other)], known, workers=1)
    (tmp_path / "test_limits.py").write_text("def test_seen():\n    assert False\n")
    with pytest.raises(SystemExit, match=r"in a child although nothing is changed$"):
        control(jobs[:1], known, workers=1)
    with pytest.raises(SystemExit, match="cannot be collected to try mutants: 4"):
        in_place([attrs.evolve(jobs[0], tests=("test_none.py::test",))], known, "dev", workers=1)


@pytest.mark.parametrize("body", ["while n: pass", "found = []\n    while n: found.append(bytes(1 << 20))"])
def test_what_never_ends_is_noticed(
    small: tuple[list[Job], Baseline], monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    """By the time and the memory it may use, however busy the machine is."""
    jobs, known = small
    monkeypatch.setattr(Baseline, "limit", lambda *_: 3)
    monkeypatch.setattr(children, "MEMORY", 1 << 30)
    (one,) = [
        job for job in jobs if job.mutant is not None and job.mutant.id.endswith("double:limit:2 + 1#1")
    ]
    one.file.write_text(SOURCE.replace("return n * 2", body))
    served = [attrs.evolve(one, mutant=None)]
    assert tried(served, known, reimported("dev"), workers=1) == ([], [])


def test_a_mutant_that_no_test_executes_survives(small: tuple[list[Job], Baseline]) -> None:
    """It is not run, and not forgotten."""
    _, known = small
    job = Job(
        file=Path("x.py"), module="m", mutant=Mutant(id="x", number=0, lines=(2, 2), body=None), tests=()
    )
    assert survivors_of([job], known, "dev", workers=1) == [job]


def test_tests_are_found_by_lines_then_by_function() -> None:
    """Quickest first, and no more than there is time for."""
    file = Path("x.py")
    known = Baseline(
        lines={"x.py": {2: frozenset({"a", "b"}), 5: frozenset({"c"})}},
        seconds={"a": 2.0, "b": 1.0, "c": 0.5},
    )
    at = Mutant(id="x", number=0, lines=(2, 2), body=(2, 5))
    assert known.tests_of(file, at) == ("b", "a")
    assert known.tests_of(file, at, within=2.5) == ("b",)
    assert known.tests_of(file, attrs.evolve(at, lines=(4, 4))) == ("c", "b", "a")
    assert known.tests_of(file, attrs.evolve(at, lines=(9, 9), body=None)) == ("c", "b", "a")
    assert known.tests_of(Path("y.py"), at) == ()


@pytest.mark.parametrize(
    ("file", "own"),
    [
        ("kubenode/core/risk/width.py", ("tests/core/risk/test_x.py::t",)),
        ("kubenode/core/policy.py", ("tests/core/test_policy_rows.py::t",)),
    ],
)
def test_who_reads_a_table_by_name_is_found_by_its_package(file: str, own: tuple[str, ...]) -> None:
    """No line of the table's module need be executed for that."""
    known = Baseline(
        lines={},
        seconds=dict.fromkeys(
            (
                "tests/core/risk/test_x.py::t",
                "tests/core/test_policy_rows.py::t",
                "tests/core/test_wire.py::t",
            ),
            1.0,
        ),
    )
    table = Mutant(id="x", number=0, lines=(2, 2), body=None)
    assert known.tests_of(Path(file), table) == own
    assert known.tests_of(Path(file), attrs.evolve(table, body=(2, 2))) == ()
