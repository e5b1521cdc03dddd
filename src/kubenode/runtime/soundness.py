"""What keeps an object from being a driver, a reviewer or a sink. None is called to find out."""

import difflib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from kubenode.core.errors import Problem
from kubenode.core.model.meta import LABEL, matches


def driver_faults(where: str, driver: object, protocol: type) -> list[Problem]:
    """Say what keeps an object from being a driver, even when looking at it raises."""
    try:
        return list(_faults(where, driver, protocol))
    except Exception as error:
        return [Problem(where=where, what=f"{type(driver).__name__} raised {type(error).__name__}: {error}")]


def _faults(where: str, driver: object, protocol: type) -> Iterable[Problem]:
    """Say what keeps an object from being a driver, without calling it."""
    if isinstance(driver, type):
        yield Problem(
            where=where,
            what=f"{driver.__name__} is a class, not a driver",
            fix=f"pass {driver.__name__}(...)",
        )
        return
    kind = type(driver).__name__
    called = getattr(driver, "name", None)
    if called is not None and not (isinstance(called, str) and matches(f"^{LABEL}$", called)):
        yield Problem(
            where=where, what=f"{kind}.name is {called!r}", fix="write lower-case letters, digits and '-'"
        )
    for name, spec in vars(protocol).items():
        if name.startswith("_") or not (callable(spec) or isinstance(spec, property)):
            continue
        have = getattr(driver, name, None)
        if have is None:
            near = difflib.get_close_matches(name, [n for n in dir(driver) if not n.startswith("_")], n=1)
            fix = f"rename {near[0]!r}?" if near else f"add {name}"
            yield Problem(
                where=where, what=f"{kind} has no {name!r}, which every {protocol.__name__} needs", fix=fix
            )
        elif inspect.iscoroutinefunction(have):
            yield Problem(where=where, what=f"{kind}.{name} is async", fix="write a plain def")
        elif callable(spec) and not isinstance(spec, property) and not _callable_as(have, spec):
            wanted = ", ".join(list(inspect.signature(spec).parameters)[1:])
            yield Problem(
                where=where,
                what=f"{kind}.{name} cannot be called as {name}({wanted})",
                fix=f"def {name}(self, {wanted})",
            )


def _callable_as(have: Any, spec: Any) -> bool:
    arguments = list(inspect.signature(spec).parameters)[1:]
    try:
        inspect.signature(have).bind(*arguments)
    except TypeError:
        return False
    return True


def no_lists(given: Mapping[str, object]) -> Iterable[Problem]:
    """Name what was given by kind and holds no drivers; a text is no list of them."""
    for kind, value in given.items():
        if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
            what = f"a value of type {type(value).__name__} is no list of drivers"
            yield Problem(where=kind, what=what, fix=f"{kind}=[...]")


def no_mappings(given: Mapping[str, object]) -> Iterable[Problem]:
    """Name what was given by kind and holds no functions by name."""
    for kind, value in given.items():
        if not isinstance(value, Mapping):
            what = f"a value of type {type(value).__name__} gives no function a name"
            yield Problem(where=kind, what=what, fix=f'{kind}={{"name": function}}')


def function_faults(where: str, name: object, function: Any) -> Iterable[Problem]:
    """Say what keeps an object from being a reviewer or a sink, without calling it."""
    if not (isinstance(name, str) and matches(f"^{LABEL}$", name)):
        yield Problem(
            where=where, what=f"its name is {name!r}", fix="write lower-case letters, digits and '-'"
        )
    if isinstance(function, type):
        yield Problem(where=where, what=f"{function.__name__} is a class, not a function", fix=f"pass {function.__name__}(...)")  # fmt: skip
    elif not callable(function):
        yield Problem(
            where=where,
            what=f"a value of type {type(function).__name__} cannot be called",
            fix="pass a function",
        )
    elif inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
        yield Problem(where=where, what="is async", fix="write a plain def")
    elif not _takes_one(function):
        yield Problem(where=where, what="cannot be called with one argument", fix="def it with one parameter")


def _takes_one(function: Any) -> bool:
    try:
        inspect.signature(function).bind(object())
    except TypeError:
        return False
    except ValueError:  # a builtin that does not tell its parameters
        return True
    return True


def twins(kind: str, drivers: list[Any]) -> Iterable[Problem]:
    """Name what was given twice under one name: either could be the wrong one."""
    first: dict[str, int] = {}
    for index, driver in enumerate(drivers):
        before = first.setdefault(driver.name, index)
        if before != index:
            what = f"is named {driver.name!r}, as {kind}[{before}] is"
            yield Problem(where=f"{kind}[{index}]", what=what, fix="give one of the two")
