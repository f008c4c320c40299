"""Metadata of installed packages, as pip leaves it in a site-packages folder."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from qchat import lifeline

PLUGIN = f"[vllm.general_plugins]\n{lifeline.PLUGIN} = qchat.lifeline:tie_to_parent\n"
"""The entry points by which a distribution is known to be this project's."""


def write_distribution(
    folder: Path,
    name: str,
    version: str,
    *,
    requires: Sequence[str] = (),
    fields: Mapping[str, str] | None = None,
    entry_points: str = "",
    direct_url: Mapping[str, object] | None = None,
) -> None:
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"{field}: {value}" for field, value in (fields or {}).items()]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    if entry_points:
        (info / "entry_points.txt").write_text(entry_points)
    if direct_url is not None:
        (info / "direct_url.json").write_text(json.dumps(direct_url))
