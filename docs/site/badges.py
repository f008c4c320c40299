"""The badges of README.md: pictures of facts that the project itself holds.

``python -m docs.site.badges`` writes them. They are files of the repository, so that a reader of
README.md asks no other host for them.
"""

import tomllib
from pathlib import Path

from qchat.engine.runtime.vllm_versions import FIRST, LAST

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "badges"

_CHARACTER, _PADDING = 6.6, 7
_TEMPLATE = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{whole}" height="20" role="img" aria-label="{label}: {value}">
<title>{label}: {value}</title>
<clipPath id="r"><rect width="{whole}" height="20" rx="3"/></clipPath>
<g clip-path="url(#r)"><rect width="{left}" height="20" fill="#555"/>
<rect x="{left}" width="{right}" height="20" fill="{colour}"/></g>
<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">
<text x="{left_middle}" y="14">{label}</text><text x="{right_middle}" y="14">{value}</text></g>
</svg>
"""  # noqa: E501


def badges() -> dict[str, str]:
    """Return the pictures by the names of their files, as SVG."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    first, last = (".".join(map(str, version[:2])) for version in (FIRST, LAST))
    minors = [c.rpartition(" ")[2] for c in project["classifiers"] if "Python :: 3." in c]
    return {
        "python.svg": _badge("Python", f"{minors[0]} – {minors[-1]}", "#3572a5"),
        "vllm.svg": _badge("vLLM", f"{first} – {last}", "#4b6fd6"),
        "licence.svg": _badge("licence", project["license"], "#2d7d46"),
    }


def _badge(label: str, value: str, colour: str) -> str:
    left, right = (round(len(text) * _CHARACTER + 2 * _PADDING) for text in (label, value))
    return _TEMPLATE.format(
        label=label,
        value=value,
        colour=colour,
        left=left,
        right=right,
        whole=left + right,
        left_middle=left / 2,
        right_middle=left + right / 2,
    )


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in badges().items():
        (FOLDER / name).write_text(text, "utf-8")
