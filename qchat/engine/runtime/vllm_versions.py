"""Which versions of vLLM qchat was tested with, and the self-check of any other."""

from dataclasses import dataclass
from pathlib import Path

from ...i18n import _
from . import vllm_entry_points
from .vllm_entry_points import Use

FIRST, LAST = (0, 26), (0, 33)
"""The first and the last minor version that qchat was tested with; docs/vllm-versions.md says
how."""


def is_tested(version: str) -> bool:
    """Whether a version such as ``0.32.1`` or ``0.33.0rc1`` is of a tested minor version."""
    parts = [*version.split("."), "0"][:2]
    release = tuple(int(part) if part.isdecimal() else 0 for part in parts)
    return FIRST <= release <= LAST


def tested_range() -> str:
    """The tested versions for a sentence: ``0.26 to 0.33``."""
    first, last = (".".join(map(str, version)) for version in (FIRST, LAST))
    return _("{first} to {last}").format(first=first, last=last)


@dataclass(frozen=True, slots=True)
class SelfCheck:
    """A version of vLLM, and what `use` needs and does not find in it (see
    `vllm_entry_points.missing`)."""

    version: str
    missing: tuple[str, ...] = ()

    @property
    def tested(self) -> bool:
        """Whether qchat was tested with this version."""
        return is_tested(self.version)

    @property
    def problem(self) -> str | None:
        """One sentence that says what is missing; None where nothing is."""
        if not self.missing:
            return None
        text = _("vLLM {version} lacks what qchat uses of it: {names} (tested: {range}).")
        names = ", ".join(self.missing)
        return text.format(version=self.version, names=names, range=tested_range())

    @property
    def warning(self) -> str | None:
        """One sentence for a version that was not tested; None for one that was."""
        if self.tested:
            return None
        text = _(
            "vLLM {version} is not one of the versions that this qchat was tested with ({range}); "
            "a self-check found all that is used of it."
        )
        return text.format(version=self.version, range=tested_range())


def self_check(version: str, use: Use, *, folder: Path | None = None) -> SelfCheck:
    """Look for all that `use` needs in vLLM's source: in `folder`, else in the installed package.

    Takes less than a second and imports nothing.
    """
    folder = folder or vllm_entry_points.source_folder()
    missing = () if folder is None else vllm_entry_points.missing(use, folder)
    return SelfCheck(version, missing)


def check_unless_tested(version: str, use: Use) -> SelfCheck:
    """The self-check of a version outside the tested range; a tested one passes without it."""
    return SelfCheck(version) if is_tested(version) else self_check(version, use)
