"""Importing or running touches no signal handler, logging configuration, event-loop policy or environment."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

STATE = """
import asyncio, logging, os, signal, sys, threading, warnings
def state():
    loggers = {
        name: (one.level, tuple(one.handlers), tuple(one.filters), one.propagate, one.disabled)
        for name, one in logging.Logger.manager.loggerDict.items() if isinstance(one, logging.Logger)
    }
    ours = {name: said for name, said in loggers.items() if name.startswith("kubenode")}
    assert set(ours.values()) <= {(logging.NOTSET, (), (), True, False)}, ours
    return {
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "wakeup": wakeup(),
        "root": (logging.root.level, tuple(logging.root.handlers), tuple(logging.root.filters), logging.root.disabled),
        "logging": (logging.getLoggerClass(), logging.getLogRecordFactory(), logging.raiseExceptions, logging.root.manager.disable),
        "policy": type(asyncio.get_event_loop_policy()),
        "is": asyncio.get_event_loop_policy(),
        "environ": dict(os.environ), "cwd": os.getcwd(), "umask": umask(),
        "hooks": (sys.excepthook, threading.excepthook, sys.unraisablehook, sys.displayhook, threading.gettrace(), sys.get_asyncgen_hooks()),
        "threads": [thread.name for thread in threading.enumerate()],
        "path": list(sys.path), "filters": list(warnings.filters), "recursion": sys.getrecursionlimit(),
    }
def wakeup():
    number = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(number)
    return number
def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
logging.getLogger("host").setLevel(logging.INFO)
before = state()
"""
CHECK = """
after = state()
for what, was in before.items():
    assert after[what] == was, (what, was, after[what])
print("untouched")
"""
IMPORTED = """
import kubenode
for name in kubenode.__all__:
    getattr(kubenode, name)
import kubenode.runtime.embed as embed
for name in embed.__all__:
    getattr(embed, name)
import kubenode.providers, kubenode.components, kubenode.remedies, kubenode.runtime.testing
"""
SETTLED = """
from datetime import timedelta
from kubenode.runtime.embed import *
Engine(EmbeddedStore(), sinks={"seen": lambda record: None}).run_until_settled()
"""
THREAD = """
import threading
from kubenode.runtime.embed import *
go = threading.Event()
engine = Engine(EmbeddedStore(), sinks={"seen": lambda record: go.set()})
thread = threading.Thread(target=engine.run)
thread.start()
assert go.wait(30)
engine.stop()
thread.join()
"""
MAIN = """
from kubenode.runtime.embed import *
engine = Engine(EmbeddedStore(), sinks={"seen": lambda record: engine.stop()})
engine.run()
"""
HOSTED = """
from kubenode.runtime.embed import *
async def host():
    async with EmbeddedStore() as store, Engine(store) as one, Engine(EmbeddedStore(), observe_only=True) as two:
        await one.settled()
        await two.settled()
loop = asyncio.new_event_loop()
loop.run_until_complete(host())
loop.close()
"""
FAILED = """
from kubenode.runtime.embed import *
class Broken(EmbeddedStore):
    async def create(self, kind, obj):
        raise ZeroDivisionError
try:
    Engine(Broken()).run()
except EngineFailed:
    logging.lastResort = None
else:
    raise AssertionError("it did not fail")
"""


def ran(code: str) -> str:
    """Run code between two looks at all that is global."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", STATE + code + CHECK], capture_output=True, text=True, check=False,
        cwd=ROOT, env={**os.environ, "KUBENODE_TEST": "1"}, timeout=120,
    )  # fmt: skip
    return done.stdout.strip() or done.stderr


@pytest.mark.parametrize(
    "code", [IMPORTED, SETTLED, THREAD, MAIN, HOSTED, FAILED],
    ids=["imported", "settled", "thread", "main-thread", "hosted", "failed"],
)  # fmt: skip
def test_nothing_global_is_touched(code: str) -> None:
    """Signals, logging, policy, environment, hooks, filters, threads: all as before."""
    assert ran(code) == "untouched"


@pytest.mark.parametrize(
    "code",
    [
        "signal.signal(signal.SIGTERM, lambda *_: None)", "logging.basicConfig()", "os.environ['KUBENODE_X'] = '1'",
        "logging.getLogger('kubenode').addHandler(logging.NullHandler())", "warnings.simplefilter('ignore')",
        "asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy())", "logging.disable(logging.INFO)",
        "threading.Thread(target=threading.Event().wait, daemon=True).start()",
    ],
)  # fmt: skip
def test_what_would_be_touched_is_seen(code: str) -> None:
    """The look above can fail."""
    assert "AssertionError" in ran(code)
