"""What the gate says: who survived, who of them is listed, and whether that is few enough."""

import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import attrs

SURVIVORS = Path(__file__).with_name("survivors.toml")
MOST = 0.02


@attrs.frozen(kw_only=True)
class Verdict:
    """What the gate says.

    Attributes:
        tried: how many mutants of each package were tried.
        alive: ids of those that survived.
        unlisted: survivors without a reason.
        stale: listed, and killed or no longer there.
        whole: whether whole packages were tried; of a sample the share says nothing.
    """

    tried: Mapping[str, int]
    alive: tuple[str, ...]
    unlisted: tuple[str, ...]
    stale: tuple[str, ...]
    whole: bool

    @property
    def share(self) -> float:
        """Give how many of the tried survived, 0 to 1."""
        return len(self.alive) / max(1, sum(self.tried.values()))

    @property
    def passed(self) -> bool:
        """Tell whether every survivor has a reason, every reason a survivor, and they are few in the whole."""
        return not self.unlisted and not self.stale and (self.share <= MOST or not self.whole)


def judge(
    tried: Sequence[str], alive: Iterable[str], reasons: Mapping[str, str], *, whole: Sequence[str]
) -> Verdict:
    """Compare what survived with what is listed.

    Args:
        tried: ids of the mutants that were tried.
        alive: ids of those that survived.
        reasons: by id, as listed.
        whole: packages all of whose mutants were tried: of these a listed id that is not there is stale.
    """
    by_package: dict[str, int] = defaultdict(int)
    for one in tried:
        by_package[package_of(one)] += 1
    living, there = set(alive), set(tried)
    stale = sorted(one for one in reasons if one not in living and (one in there or package_of(one) in whole))
    return Verdict(
        tried=dict(sorted(by_package.items())), alive=tuple(sorted(living)),
        unlisted=tuple(sorted(living - set(reasons))), stale=tuple(stale), whole=bool(whole),
    )  # fmt: skip


def package_of(mutant_id: str) -> str:
    """Give the package of core, such as `risk`, of a mutant's id."""
    return mutant_id.partition(":")[0].split(".")[2]


def listed() -> dict[str, str]:
    """Read the survivors that have a reason."""
    entries = tomllib.loads(SURVIVORS.read_text()).get("survivor", []) if SURVIVORS.exists() else []
    return {entry["id"]: entry["reason"] for entry in entries}
