"""What each rule does to a small source, and that nothing else is touched."""

import ast

import pytest

from tests.mutation.rules import mutants, mutated

TABLE = """
LIMITS = {"a": 1, **MORE}
KINDS = ("x", "y")
NAMES = frozenset({"p", "q"})
__all__ = ["never"]
Alias: TypeAlias = A | tuple[1]
T = TypeVar("T", str, tuple[int, str])
"""


def made(source: str, *, rule: str = "") -> list[str]:
    """Give every mutant of a source as text, of one rule or of all."""
    return [
        ast.unparse(mutated(source, one.number)).strip()
        for one in mutants(source, "m")
        if not rule or one.id.split(":")[2] == rule
    ]


def test_every_row_of_a_table_is_dropped() -> None:
    """Of dicts, tuples and sets at module level; `__all__`, aliases and variables of types are no tables."""
    changed = "\n".join(made(TABLE, rule="row"))
    assert len(made(TABLE, rule="row")) == 6
    for text in (
        "{**MORE}",
        "{'a': 1}",
        "KINDS = ('y',)",
        "KINDS = ('x',)",
        "frozenset({'q'})",
        "frozenset({'p'})",
    ):
        assert text in changed
    assert "__all__ = []" not in changed


def test_a_literal_in_a_function_is_no_table() -> None:
    """It is a value like any other there."""
    assert made("def f():\n    return ('a', 'b')", rule="row") == []


@pytest.mark.parametrize(
    ("was", "flipped"),
    [
        ("a < b", "a >= b"), ("a <= b", "a > b"), ("a > b", "a <= b"), ("a >= b", "a < b"), ("a == b", "a != b"),
        ("a != b", "a == b"), ("a is b", "a is not b"), ("a is not b", "a is b"), ("a in b", "a not in b"),
        ("a not in b", "a in b"),
    ],
)  # fmt: skip
def test_a_comparison_is_flipped(was: str, flipped: str) -> None:
    """It says the opposite, whatever the operands."""
    assert made(was, rule="flip") == [flipped]


@pytest.mark.parametrize(
    ("was", "edge"), [("a < b", "a <= b"), ("a <= b", "a < b"), ("a > b", "a >= b"), ("a >= b", "a > b")]
)
def test_a_limit_is_included_or_left_out(was: str, edge: str) -> None:
    """An order has an edge; equality has none."""
    assert made(was, rule="edge") == [edge]
    assert made("a == b", rule="edge") == []


def test_an_integer_is_one_more_and_one_less() -> None:
    """Booleans, texts and what stands in an f-string are no limits; nor is an annotation."""
    assert made("x = 3") == ["x = 4", "x = 2"]
    assert made("x = True\ny = '3'\nz = f'{a[1]:3}'\ndef f(a: Literal[1]) -> Literal[2]: ...") == []


def test_a_guard_is_never_taken() -> None:
    """Only one that leaves: an `if` with an else, or that goes on, is a branch."""
    source = "def f(a):\n    if a:\n        return\n    if b:\n        c()\n    if d:\n        return\n    else:\n        e()"
    (changed,) = made(source, rule="guard")
    assert changed.startswith("def f(a):\n    if False:\n        return\n    if b:")


def test_a_case_loses_its_guard() -> None:
    """And matches by its pattern alone."""
    (changed,) = made("match a:\n    case 'x' if b:\n        c()", rule="guard")
    assert "case 'x':" in changed


def test_each_operand_and_each_filter_is_dropped() -> None:
    """One at a time."""
    assert made("a and b and c", rule="part") == ["b and c", "a and c", "a and b"]
    assert made("a or b", rule="part") == ["b", "a"]
    assert made("[x for x in y if a if b]", rule="filter") == ["[x for x in y if b]", "[x for x in y if a]"]


def test_an_id_outlives_moved_lines() -> None:
    """A reason is kept where code above it grows; equal texts are told apart by their order."""
    source = "def f(a):\n    return a < 1 or a < 1"
    before, after = mutants(source, "m"), mutants("import os\n\n\n" + source, "m")
    assert [one.id for one in before] == [one.id for one in after]
    assert len({one.id for one in before}) == len(before)
    assert [one.lines for one in before] != [one.lines for one in after]


def test_what_runs_at_import_is_known() -> None:
    """It belongs to no single test; all else is in the body of an outermost function."""
    source = "X = 1\n@cache\ndef f(a=2):\n    def g(b=4):\n        return 5\n    return 3\n"
    bodies = {one.id: one.body for one in mutants(source, "m") if " + " in one.id}
    assert bodies == {
        "m::limit:1 + 1#1": None, "m:f:limit:2 + 1#1": None, "m:f.g:limit:4 + 1#1": (4, 6),
        "m:f.g:limit:5 + 1#1": (4, 6), "m:f:limit:3 + 1#1": (4, 6),
    }  # fmt: skip


def test_no_such_place() -> None:
    """A number beyond the last is a mistake of the caller, not an unchanged tree."""
    with pytest.raises(IndexError, match="there are 2 places"):
        mutated("x = 1", 2)
