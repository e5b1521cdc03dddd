"""Rules checked against the types of their schema, by the optional engine; only this knows what a rule costs."""

import functools
import importlib
from collections.abc import Mapping
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, Final

import attrs

from kubenode.runtime.store.cel_tree import Tree
from kubenode.runtime.store.cel_types import Shape

_PACKAGE: Final = "kubenode.rules"
_ENVIRONMENT: Final = """
extensions:
- {name: sets}
- {name: lists}
- {name: two-var-comprehensions}
"""
_WELL_KNOWN: Final = (
    "google.protobuf.struct_pb2",
    "google.protobuf.timestamp_pb2",
    "google.protobuf.duration_pb2",
)
_SCALARS: Final[Mapping[str, int]] = MappingProxyType(
    {"double": 1, "int": 3, "bool": 8, "string": 9, "bytes": 12}
)
_MESSAGES: Final[Mapping[str, str]] = MappingProxyType({
    "timestamp": ".google.protobuf.Timestamp", "duration": ".google.protobuf.Duration", "dyn": ".google.protobuf.Value",
    "list": ".google.protobuf.ListValue", "map": ".google.protobuf.Struct",
})  # fmt: skip
"""What stands for a value that is no scalar; lists and maps only below another one, where they cannot be told apart."""
_MESSAGE: Final = 11
_ONE, _MANY = 1, 3


@attrs.frozen
class _Engine:
    """What is asked of the optional packages."""

    cel: Any
    config: Any
    extensions: list[Any]
    descriptors: Any
    pools: Any
    known: list[Any]


@functools.cache
def _engine() -> _Engine:
    cel = importlib.import_module("cel_expr_python.cel")
    strings = importlib.import_module("cel_expr_python.ext.ext_strings")
    optional = importlib.import_module("cel_expr_python.ext.ext_optional")
    library = importlib.import_module("kubenode.runtime.store.cel_library")
    return _Engine(
        cel=cel,
        config=cel.NewEnvConfigFromYaml(_ENVIRONMENT),
        extensions=[strings.ExtStrings(), optional.ExtOptional(), library.extension(cel)],
        descriptors=importlib.import_module("google.protobuf.descriptor_pb2"),
        pools=importlib.import_module("google.protobuf.descriptor_pool"),
        known=[importlib.import_module(name).DESCRIPTOR for name in _WELL_KNOWN],
    )


def is_installed() -> bool:
    """Tell whether there is an engine."""
    return all(find_spec(name) is not None for name in ("cel_expr_python", "google.protobuf"))


class Checker:
    """Checks the rules of one value of a schema.

    Args:
        shape: of the value.
    """

    def __init__(self, shape: Shape) -> None:
        engine = _engine()
        self._cel = engine.cel
        pool = engine.pools.DescriptorPool()
        file = engine.descriptors.FileDescriptorProto(name="rules.proto", package=_PACKAGE, syntax="proto3")
        for known in engine.known:
            pool.AddSerializedFile(known.serialized_pb)
            file.dependency.append(known.name)
        self._file = file
        self._messages = 0
        self._type = self._typed(shape)
        pool.AddSerializedFile(file.SerializeToString())
        self._pool = pool
        self._environments: dict[bool, Any] = {}

    def _environment(self, *, is_optional: bool) -> Any:
        if is_optional not in self._environments:
            engine, dyn = _engine(), self._cel.Type.DYN
            self._environments[is_optional] = engine.cel.NewEnv(
                descriptor_pool=self._pool, config=engine.config, extensions=engine.extensions,
                variables={"self": self._type, "oldSelf": dyn if is_optional else self._type},
            )  # fmt: skip
        return self._environments[is_optional]

    def check(self, rule: str, *, is_optional: bool) -> Tree:
        """Give a rule, or the expression of a message, as the engine understands it.

        Raises:
            ValueError: it does not fit the types; the engine says why.
        """
        try:
            return Tree.read(self._environment(is_optional=is_optional).compile(rule).serialize())
        except RuntimeError as wrong:
            raise ValueError(str(wrong)) from wrong

    def _typed(self, shape: Shape) -> Any:
        """Give the engine's type of a value that a rule is about."""
        types = self._cel.Type
        simple = {
            "double": types.DOUBLE, "int": types.INT, "bool": types.BOOL, "string": types.STRING, "bytes": types.BYTES,
            "timestamp": types.TIMESTAMP, "duration": types.DURATION, "dyn": types.DYN,
        }  # fmt: skip
        if shape.kind == "struct":
            return types(f"{_PACKAGE}.{self._message(shape)}")
        if shape.kind in simple or shape.items is None:
            return simple[shape.kind]
        items = self._typed(shape.items)
        return types.List(items) if shape.kind == "list" else types.Map(types.STRING, items)

    def _message(self, shape: Shape) -> str:
        """Make a message of an object, and give its name."""
        name = f"Object{self._messages}"
        self._messages += 1
        message = self._file.message_type.add(name=name)
        for number, (field, below) in enumerate(shape.fields.items(), 1):
            if below.kind == "map" and below.items is not None:
                entry = message.nested_type.add(name=_entry_name(field))
                entry.options.map_entry = True
                entry.field.add(name="key", number=1, label=_ONE, type=_SCALARS["string"])
                entry.field.add(name="value", number=2, label=_ONE, **self._form(below.items))
                named = f".{_PACKAGE}.{name}.{entry.name}"
                message.field.add(name=field, number=number, label=_MANY, type=_MESSAGE, type_name=named)
            elif below.kind == "list" and below.items is not None:
                message.field.add(name=field, number=number, label=_MANY, **self._form(below.items))
            else:
                message.field.add(name=field, number=number, label=_ONE, **self._form(below))
        return name

    def _form(self, shape: Shape) -> dict[str, Any]:
        if shape.kind in _SCALARS:
            return {"type": _SCALARS[shape.kind]}
        known = _MESSAGES.get(shape.kind) or f".{_PACKAGE}.{self._message(shape)}"
        return {"type": _MESSAGE, "type_name": known}


def _entry_name(field: str) -> str:
    """Give the name that protobuf wants the entries of a map to have."""
    return "".join(f"{part[:1].upper()}{part[1:]}" for part in field.split("_")) + "Entry"
