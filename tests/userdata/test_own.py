"""What people write for cloud-init: taken where cloud-init does something with it, else refused, and never repeated."""

from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

import pytest

from kubenode.runtime.userdata.own import fault_in

SECRET = "hunter2"


def message(*parts: tuple[str, str]) -> str:
    """Give a MIME message of parts: text and type."""
    whole = MIMEMultipart("mixed", boundary="own")
    for text, kind in parts:
        whole.attach(MIMEText(text, kind, "us-ascii"))
    return whole.as_string()


GOOD = {
    "config": "#cloud-config\npackages: [chrony]\n",
    "script": "#!/bin/bash\necho hello\n",
    "boothook": "#cloud-boothook\n#!/bin/sh\n",
    "include": "#include\nhttps://mirror/more\n",
    "template": "## template: jinja\n#cloud-config\nhostname: {{ v1.local_hostname }}\n",
    "archive": "#cloud-config-archive\n- type: text/cloud-config\n  content: |\n    packages: [a]\n",
    "message": message(("#cloud-config\npackages: [a]\n", "cloud-config"), ("#!/bin/sh\n", "x-shellscript")),
    "plain parts": message(("#!/bin/sh\n", "plain")),
}
BAD = {
    "no first line": (f"packages: [{SECRET}]\n", "its first line is none that cloud-init knows"),
    "a blank first": (f"\n#cloud-config\nx: {SECRET}\n", "its first line is none that cloud-init knows"),
    "no YAML": (f"#cloud-config\nx: [{SECRET}\ny: }}\n", "it is no YAML at line 3"),
    "a list": (f"#cloud-config\n- {SECRET}\n", "is not a mapping"),
    "nothing": ("#cloud-config\n", "is not a mapping"),
    "an object": (f"#cloud-config\nx: !!python/object/apply:os.system ['{SECRET}']\n", "it is no YAML at line 2"),
    "an archive that is a mapping": (f"#cloud-config-archive\nx: {SECRET}\n", "is not a list"),
    "a NUL": (f"#!/bin/sh\n{SECRET}\0", "it holds a NUL byte"),
    "a message of one": (f"Content-Type: text/cloud-config\n\n#cloud-config\nx: {SECRET}\n", "has no parts"),
    "a message without an end": (
        f'Content-Type: multipart/mixed; boundary="own"\n\n--own\n\n#!/bin/sh\n{SECRET}\n', "is broken: CloseBoundaryNotFound"
    ),
    "a part of an unknown type": (message((SECRET, "html")), "is text/html, which cloud-init does not handle"),
    "a plain part": (message((SECRET, "plain")), "is text/plain, which cloud-init does not handle"),
    "a part that is no YAML": (message((f"#cloud-config\nx: [{SECRET}\n", "cloud-config")), "part 1 of the MIME message: it is no YAML"),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_what_cloud_init_handles_is_taken(name: str) -> None:
    """Each kind that its manual lists."""
    assert fault_in(GOOD[name]) == ""


@pytest.mark.parametrize("name", BAD)
def test_malformed_user_data_is_refused_and_not_repeated(name: str) -> None:
    """The fault is named, and no word of the text, since people put secrets there all the same."""
    text, said = BAD[name]
    found = fault_in(text)
    assert said in found
    assert SECRET not in found
