"""The rules by which a module is mutated, pure: source in, mutants out.

Every place to which a rule applies is a mutant, so nobody chooses which. A mutant is a changed syntax tree
with the lines of the original, to be compiled as it is. Its id holds no line number: a line that moves keeps
the reasons that `survivors.toml` gives.

    row     one element of a table (a literal at module or class level) is dropped
    flip    a comparison says the opposite
    edge    a comparison includes, or leaves out, its limit
    limit   an integer is one more, or one less
    guard   an `if` that ends in return, raise, continue or break is never taken; a case loses its guard
    part    one operand of `and` or `or` is dropped
    filter  one condition of a comprehension is dropped

Called by gate.py.
"""

import ast
from collections import Counter
from collections.abc import Callable, Iterator

import attrs

OPPOSITE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn,
    ast.NotIn: ast.In, ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt,
}  # fmt: skip
AT_LIMIT: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
}  # fmt: skip
LEAVES = (ast.Return, ast.Raise, ast.Continue, ast.Break)
LONGEST = 90
"""How much of the mutated text an id shows, characters."""

Replacement = Callable[[], ast.AST]


@attrs.frozen(kw_only=True)
class Mutant:
    """One place and what happens to it.

    Attributes:
        id: `module:qualname:rule:text#n`; `n` counts equal texts within one qualname.
        number: of the place within its module, for `mutated`.
        lines: first and last line of what changes.
        body: first and last line of the body of the outermost function it is in; None where it runs when the
            module is imported, and so belongs to no single test.
    """

    id: str
    number: int
    lines: tuple[int, int]
    body: tuple[int, int] | None


def mutants(source: str, module: str) -> tuple[Mutant, ...]:
    """Find every mutant of a module, in the order of its text."""
    walker = _Walker(wanted=None)
    walker.visit(ast.parse(source))
    seen: Counter[str] = Counter()
    found = []
    for number, place in enumerate(walker.places):
        name = f"{module}:{place.qualname}:{place.rule}:{place.text}"
        seen[name] += 1
        mutant_id = f"{name}#{seen[name]}"
        found.append(Mutant(id=mutant_id, number=number, lines=place.lines, body=place.body))
    return tuple(found)


def mutated(source: str, number: int) -> ast.Module:
    """Make the tree of one mutant, ready to be compiled."""
    walker = _Walker(wanted=number)
    tree = walker.visit(ast.parse(source))
    if number >= len(walker.places):
        raise IndexError(f"there are {len(walker.places)} places, none is number {number}")
    assert isinstance(tree, ast.Module)
    return ast.fix_missing_locations(tree)


@attrs.frozen(kw_only=True)
class _Place:
    qualname: str
    rule: str
    text: str
    lines: tuple[int, int]
    body: tuple[int, int] | None


class _Walker(ast.NodeTransformer):
    """Visits children first, then offers the node itself to every rule; changes at most the wanted place."""

    def __init__(self, wanted: int | None) -> None:
        self.places: list[_Place] = []
        self._wanted = wanted
        self._names: list[str] = []
        self._body: tuple[int, int] | None = None

    def visit(self, node: ast.AST) -> ast.AST:
        """Skip what is no behaviour, keep track of where we are, and offer the node."""
        match node:
            case ast.JoinedStr():
                return node
            case ast.Assign(targets=[ast.Name(id="__all__")]):
                return node
            case ast.Assign(value=ast.Call(func=ast.Name(id="TypeVar"))):
                return node
            case ast.AnnAssign() if "TypeAlias" in ast.unparse(node.annotation):
                return node
            case ast.AnnAssign():
                if node.value is not None:
                    node.value = self.visit(node.value)  # type: ignore[assignment]
                return node
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                return self._function(node)
            case ast.ClassDef():
                self._names.append(node.name)
                node.body = [self.visit(one) for one in node.body]  # type: ignore[misc]
                self._names.pop()
                return node
        original = ast.unparse(node) if isinstance(node, ast.expr | ast.If | ast.match_case) else ""
        self.generic_visit(node)
        result = node
        for rule, text, where, replacement in _offers(node, original, tables=self._body is None):
            if self._offer(rule, text, where):
                result = replacement()
        return result

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        self._names.append(node.name)
        node.args.defaults = [self.visit(one) for one in node.args.defaults]  # type: ignore[misc]
        node.args.kw_defaults = [one and self.visit(one) for one in node.args.kw_defaults]  # type: ignore[misc]
        outer, first = self._body, node.body[0].lineno
        self._body = outer or (first, node.end_lineno or first)
        node.body = [self.visit(one) for one in node.body]  # type: ignore[misc]
        self._body = outer
        self._names.pop()
        return node

    def _offer(self, rule: str, text: str, where: ast.AST) -> bool:
        short = " ".join(text.split())
        short = short if len(short) <= LONGEST else short[: LONGEST - 1] + "…"
        line = where.lineno  # type: ignore[attr-defined]
        self.places.append(
            _Place(
                qualname=".".join(self._names),
                rule=rule,
                text=short,
                lines=(line, where.end_lineno or line),  # type: ignore[attr-defined]
                body=self._body,
            )
        )
        return self._wanted == len(self.places) - 1


Offer = tuple[str, str, ast.AST, Replacement]


def _offers(node: ast.AST, text: str, *, tables: bool) -> Iterator[Offer]:
    """Give what each rule would do to a node."""
    if tables:
        yield from _rows(node)
    match node:
        case ast.Compare(ops=[op]):
            opposite = OPPOSITE[type(op)]
            rest = {"left": node.left, "comparators": node.comparators}
            yield "flip", text, node, _made(ast.Compare, node, ops=[opposite()], **rest)
            if (near := AT_LIMIT.get(type(op))) is not None:
                yield "edge", text, node, _made(ast.Compare, node, ops=[near()], **rest)
        case ast.Constant(value=int(value)) if not isinstance(value, bool):
            yield "limit", f"{value} + 1", node, _made(ast.Constant, node, value=value + 1)
            yield "limit", f"{value} - 1", node, _made(ast.Constant, node, value=value - 1)
        case ast.If(test=test, body=body, orelse=[]) if isinstance(body[-1], LEAVES):
            never = ast.copy_location(ast.Constant(value=False), test)
            yield "guard", ast.unparse(test), test, _made(ast.If, node, test=never, body=body, orelse=[])
        case ast.match_case(guard=ast.expr() as guard):
            yield "guard", ast.unparse(guard), guard, lambda: ast.match_case(node.pattern, None, node.body)
        case ast.BoolOp():
            for i, one in enumerate(node.values):
                rest_of = node.values[:i] + node.values[i + 1 :]
                said = f"{ast.unparse(one)} of {text}"
                yield "part", said, one, _part(node, rest_of)
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            for loop in node.generators:
                for i, one in enumerate(loop.ifs):
                    yield "filter", ast.unparse(one), one, _unfiltered(node, loop, i)


def _rows(node: ast.AST) -> Iterator[Offer]:
    """Drop each element of a literal."""
    match node:
        case ast.Dict():
            for i, (key, value) in enumerate(zip(node.keys, node.values, strict=True)):
                row = ast.unparse(value if key is None else key)
                keys, values = node.keys[:i] + node.keys[i + 1 :], node.values[:i] + node.values[i + 1 :]
                yield "row", row, value, _made(ast.Dict, node, keys=keys, values=values)
        case ast.Set() | ast.List() | ast.Tuple():
            for i, one in enumerate(node.elts):
                rest = node.elts[:i] + node.elts[i + 1 :]
                if isinstance(node, ast.Set):
                    if rest:
                        yield "row", ast.unparse(one), one, _made(ast.Set, node, elts=rest)
                elif isinstance(node.ctx, ast.Load):
                    yield "row", ast.unparse(one), one, _made(type(node), node, elts=rest, ctx=node.ctx)


def _made(kind: type[ast.AST], at: ast.AST, **fields: object) -> Replacement:
    return lambda: ast.copy_location(kind(**fields), at)


def _part(node: ast.BoolOp, rest: list[ast.expr]) -> Replacement:
    return lambda: rest[0] if len(rest) == 1 else ast.copy_location(ast.BoolOp(node.op, rest), node)


def _unfiltered(node: ast.AST, loop: ast.comprehension, i: int) -> Replacement:
    def drop() -> ast.AST:
        del loop.ifs[i]
        return node

    return drop
