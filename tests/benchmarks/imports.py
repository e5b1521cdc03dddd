"""What importing costs, side by side in fresh interpreters: `python tests/benchmarks/imports.py`.

Ratios to importing attrs, cattrs and asyncio, which a program that embeds this library mostly has already.
Each round runs every code once, in turn, so that whatever else the machine does falls on all of them alike; the
median of the rounds' ratios is shown. What is loaded is pinned by tests/face/test_names.py; time is not.
"""

import statistics
import subprocess
import sys

ROUNDS = 15
BASE = "import attrs, cattrs, asyncio"
CODES = {
    "import kubenode": ("import kubenode", 1.3),
    "first use of a decider": (
        "from kubenode import Policy, RemedySnapshot, decide, model as m\n"
        "from datetime import datetime, UTC\n"
        "now = datetime(2026, 3, 2, tzinfo=UTC)\n"
        "node = m.make_node('n7', zone='b')\n"
        "decide(RemedySnapshot(machine=m.make_machine(node, since=now), node=node, now=now), Policy.default())",
        2.5,
    ),
    "first use of explain": ("from kubenode import Policy, RemedySnapshot, explain, model", None),
    "first use of load": ("from kubenode import load", None),
}


def seconds(code: str) -> float:
    """Run code in a fresh interpreter and give how long it took, start of the interpreter left out."""
    timed = f"import time\nbegan = time.perf_counter()\n{code}\nprint(time.perf_counter() - began)"
    result = subprocess.run([sys.executable, "-c", timed], capture_output=True, text=True, check=True)
    return float(result.stdout)


def main() -> None:
    """Print the table."""
    ratios: dict[str, list[float]] = {name: [] for name in CODES}
    bases = []
    seconds(BASE)  # warms the disk cache for all
    for _ in range(ROUNDS):
        base = seconds(BASE)
        bases.append(base)
        for name, (code, _) in CODES.items():
            ratios[name].append(seconds(code) / base)
    print(f"{BASE}: {statistics.median(bases) * 1000:.0f} ms, median of {ROUNDS} rounds\n")
    print("| what | ratio | aim | |\n|---|---|---|---|")
    for name, (_, aim) in CODES.items():
        ratio = statistics.median(ratios[name])
        wanted = "" if aim is None else f"<= {aim}"
        verdict = "" if aim is None else "met" if ratio <= aim else "missed"
        print(f"| {name} | {ratio:.2f} | {wanted} | {verdict} |")


if __name__ == "__main__":
    main()
