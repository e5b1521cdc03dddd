"""The import of a host that is not reached from here: one line for a root shell there.

The line holds a token that is good once, so it is shown to whoever asked for it and kept nowhere. No program on the host
gets it as an argument: the shell itself prints the line into a pipe. What fails is undone, as over SSH.
"""

import base64
import gzip
import shlex
from typing import Final

from kubenode.runtime.bootstrap import steps as s

LONGEST: Final = 4095
"""Characters of a line that a terminal takes for a shell that does not edit lines itself, as dash; the rest would be cut off."""
_HEAD: Final = """set -eu
umask 022
no() { echo "kubenode: $1" >&2; exit 1; }
[ "$(id -u)" = 0 ] || no 'this needs a root shell'
systemctl --version >/dev/null 2>&1 || no 'this host has no systemd'
for path in %(ours)s; do
  [ ! -e "$path" ] || no "$path is there already, so this host has an agent, or had one; import it over SSH"
done
undo() {
  status=$?
  [ "$status" = 0 ] && return
  systemctl disable --now %(unit)s >/dev/null 2>&1 || true
  rm -rf -- %(made)s
  rmdir /etc/kubenode %(opt)s 2>/dev/null || true
  systemctl daemon-reload
  echo 'kubenode: failed; what was done is undone' >&2
}
trap undo EXIT
trap 'exit 130' INT TERM
"""
_FETCH: Final = """mkdir -p %(opt)s %(new)s
if command -v curl >/dev/null; then curl -fsSL -o %(sent)s -- %(url)s; else wget -q -O %(sent)s -- %(url)s; fi
echo %(sum)s | sha256sum -c --quiet -
tar -x -z --no-same-owner -p -f %(sent)s -C %(new)s
%(new)s/bin/kubenode version >/dev/null
mv -T -- %(new)s %(folder)s
rm -f -- %(sent)s
ln -s %(target)s %(link)s
"""
_THERE: Final = "[ -x %(program)s ] || no '%(program)s is not there'\n"
_TAIL: Final = """sync
systemctl daemon-reload
systemctl enable --now %(unit)s
echo 'kubenode: the agent is started'
"""


def line(wanted: s.Target, token: str, url: str) -> str:
    """Give the line.

    Args:
        wanted: what the host is to have.
        token: with which its agent asks for its certificate.
        url: from where the host gets the bundle, when there is one.
    """
    packed = base64.b64encode(gzip.compress(script(wanted, token, url).encode(), mtime=0)).decode()
    # A blank first: most shells are told to keep such a line out of their history.
    return f" printf %s {packed} | base64 -d | gzip -d | sh"


def script(wanted: s.Target, token: str, url: str) -> str:
    """Give what the line does, as a POSIX shell script for a host that has no agent."""
    files = s.plan(s.Found(machine="", boot_id="", free=0), wanted, token)
    ours, names = (
        [s.ENV, s.CA, s.TOKEN, s.UNIT_FILE, s.STATE],
        {"unit": s.UNIT, "opt": s.OPT, "program": s.PROGRAM},
    )
    made = [*ours]
    fetch = _THERE % names
    if (bundle := wanted.bundle) is not None:
        names |= {
            "new": f"{s.OPT}/.{bundle.name}.new", "sent": f"{s.OPT}/.{bundle.name}.tar.gz", "folder": bundle.folder,
            "link": s.LINK, "target": f"{bundle.name}/bin", "url": shlex.quote(url),
        }  # fmt: skip
        names["sum"] = shlex.quote(f"{bundle.sha256}  {names['sent']}")
        ours += [s.LINK, bundle.folder]
        made += [s.LINK, bundle.folder, names["new"], names["sent"]]
        fetch = _FETCH % names
    writes = "".join(_write(step) for step in files if isinstance(step, s.Write))
    head = _HEAD % {**names, "ours": shlex.join(ours), "made": shlex.join(made)}
    return head + fetch + "mkdir -p /etc/kubenode\n" + writes + _TAIL % names


def _write(step: s.Write) -> str:
    """Write one file; its content comes by a pipe from the shell, never as an argument."""
    path = shlex.quote(step.path)
    if step.content.isascii() and b"\0" not in step.content:  # so it packs better
        said = f"printf %s {shlex.quote(step.content.decode())}"
    else:
        said = f"printf %s {base64.b64encode(step.content).decode()} | base64 -d"
    return f"{said} | install -m {step.mode:04o} /dev/stdin {path}\n"
