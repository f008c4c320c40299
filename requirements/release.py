"""What a release needs to know: ``release.py check v0.3.0`` and ``release.py notes v0.3.0``.

`check` ends with 1 and a sentence unless the tag is the project's version and CHANGELOG.md has a
section for it; `notes` prints that section.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class ReleaseError(Exception):
    """A tag that can't be released, with the reason."""


def project_version() -> str:
    """Return the version that the distribution will have."""
    text = (ROOT / "qchat" / "__init__.py").read_text("utf-8")
    match = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if match is None:
        raise ReleaseError("qchat/__init__.py has no __version__.")
    return match[1]


def tag_version(tag: str) -> str:
    """Return the version that a tag names. Raises `ReleaseError`."""
    if not re.fullmatch(r"v\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?", tag):
        raise ReleaseError(f"The tag {tag!r} is no version. Tags look like v0.3.0.")
    return tag[1:]


def release_notes(changelog: str, version: str) -> str:
    """Return the section of a version, without its heading. Raises `ReleaseError`."""
    sections = re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]
    for section in sections:
        heading, _newline, body = section.partition("\n")
        if heading.split()[:1] == [version]:
            if "unreleased" in heading:
                raise ReleaseError(f"CHANGELOG.md calls {version} unreleased. Give it its date.")
            if body.strip():
                return body.strip() + "\n"
    raise ReleaseError(f"CHANGELOG.md has no section for {version}, or an empty one.")


def check(tag: str, version: str, changelog: str) -> str:
    """Return the notes of the release that a tag names. Raises `ReleaseError`."""
    if tag_version(tag) != version:
        raise ReleaseError(f"The tag is {tag}, but the project's version is {version}.")
    if re.search(r"^## Unreleased$", changelog, re.MULTILINE | re.IGNORECASE):
        raise ReleaseError("CHANGELOG.md has a section 'Unreleased'. Move it to the version.")
    return release_notes(changelog, version)


def main(arguments: list[str]) -> int:
    """Run a command; returns the exit code."""
    if len(arguments) != 2 or arguments[0] not in ("check", "notes"):
        print("Usage: release.py check|notes TAG", file=sys.stderr)
        return 2
    try:
        changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
        notes = check(arguments[1], project_version(), changelog)
    except ReleaseError as error:
        print(error, file=sys.stderr)
        return 1
    if arguments[0] == "notes":
        print(notes, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
