"""What cloud-init itself makes of user data: run by its own code, in a process of its own. A list of base64 in, a list of what it made out."""

import base64
import json
import sys
import tempfile
from types import SimpleNamespace
from typing import Any


def judgement(raw: bytes) -> Any:
    """Unpack, merge and check as cloud-init does at the first boot."""
    import yaml
    from cloudinit import helpers, user_data, util
    from cloudinit.config.schema import SchemaValidationError, get_schema, validate_cloudconfig_schema
    from cloudinit.handlers.cloud_config import CloudConfigPartHandler

    with tempfile.TemporaryDirectory() as folder:
        paths = helpers.Paths({"cloud_dir": folder, "run_dir": folder})
        paths.datasource = SimpleNamespace(get_instance_id=lambda: "i-1")
        message = user_data.UserDataProcessor(paths).process(raw)
        handler = CloudConfigPartHandler(paths)
        handler.cloud_fn = f"{folder}/merged"
        handler.handle_part(None, "__begin__", None, None, None, None)
        others: list[list[Any]] = []
        for part in message.walk():
            if part.is_multipart():
                continue
            kind, text = part.get_content_type(), util.fully_decoded_payload(part)
            if kind == "text/cloud-config":
                handler.handle_part(None, kind, part.get_filename("part"), text, "once", dict(part))
            else:
                others.append([kind, text])
        handler.handle_part(None, "__end__", None, None, None, None)
        with open(handler.cloud_fn) as file:
            merged = yaml.safe_load(file)
    problems: list[str] = []
    try:
        validate_cloudconfig_schema(merged, get_schema(), strict=True)
    except SchemaValidationError as error:
        problems.append(str(error))
    script = util.shellify(merged["runcmd"]) if merged and "runcmd" in merged else ""
    return {"config": merged, "others": others, "problems": problems, "script": script}


if __name__ == "__main__":
    json.dump([judgement(base64.b64decode(one)) for one in json.load(sys.stdin)], sys.stdout)
