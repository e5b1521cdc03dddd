"""Makes objects of any class of the model by chance, quickly and the same for the same seed: for files that are kept.

`tests/strategies.py` draws with Hypothesis, for tests; what that draws is another with each of its versions.
"""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, TypeVar

from kubenode.core import model as m
from kubenode.core.fields import Form, Told, fields_of, shape_of
from kubenode.core.model.meta import Items, Keys, Number, Text, matches
from tests.strategies import LIKELY

T = TypeVar("T")

TEXTS = (
    "", "a", "7", "b-1", "kubelet", "kubelet-1.30.4", "1.30.4", "Ready", "KernelDeadlock", "zone=b", "10.0.0.1", "example.org/role",
    "kubelet.service", "abc123", "0123456789abcdef" * 4, "/usr/bin/crictl", "/healthz", "s:1=1;m:1=1;h:1=1", "a text of more words: \u00e9 \u65e5\u672c",
)  # fmt: skip
OFTEN = 0.75
"""How often what is optional is there."""
_TRIES = 1000


def made(cls: type[T], chance: Random, **given: str) -> T:
    """Make a value of a model class that keeps its rules; of a kind, with the name given."""
    checks = [rule.check for rule in shape_of(cls).rules if rule.check is not None]
    likely = LIKELY.get(cls, lambda value: value)
    for _ in range(_TRIES):
        parts = {
            field.name: _metadata(given["name"]) if field.name == "metadata" else _value(field.told, chance)
            for field in fields_of(cls)
        }
        value: T = likely(cls(**parts))
        if all(check(value) for check in checks):
            return value
    raise LookupError(f"no {cls.__name__} that keeps its rules was made")


def _metadata(name: str) -> m.ObjectMeta:
    return m.ObjectMeta(
        name=name, uid=f"uid-{name}", generation=3, resource_version="7", labels={"pool": "a"}
    )


def _value(said: Told, chance: Random) -> Any:
    if said.optional and chance.random() > OFTEN:
        return None
    match said.form:
        case Form.LIST if said.item is not None:
            bounds = said.mark(Items) or Items(max=1)
            most = 1 if bounds.key else min(2, bounds.max)
            return tuple(_value(said.item, chance) for _ in range(chance.randint(min(1, most), most)))
        case Form.MAP if said.item is not None:
            pattern = (said.mark(Keys) or Keys(max=1)).pattern or "^.*$"
            return {
                chance.choice([text for text in TEXTS if len(text) < 64 and matches(pattern, text)]): _value(
                    said.item, chance
                )
            }
        case Form.MODEL:
            return made(said.bare, chance)
        case Form.ENUM:
            return chance.choice(list(said.bare))
        case Form.SCALAR:
            return _scalar(said, chance)
        case _:
            return {"any": [1, "text", {"deep": True}]}


def _scalar(said: Told, chance: Random) -> Any:
    number, text = said.mark(Number), said.mark(Text)
    if said.bare is int and number is not None:
        return chance.randint(number.min, min(number.max, number.min + 50))
    if said.bare is str and text is not None:
        fits = (one for one in TEXTS if text.min <= len(one) <= text.max)
        return chance.choice([one for one in fits if text.pattern is None or matches(text.pattern, one)])
    if said.bare is m.IntOrPercent:
        return m.IntOrPercent(chance.randint(1, 50), percent=chance.random() > OFTEN)
    whole = {bool: chance.random() > 0.5, timedelta: timedelta(seconds=chance.randint(10, 7200))}
    return whole.get(said.bare, datetime(2026, 3, 2, 9, 0, chance.randint(0, 59), tzinfo=UTC))
