"""A source tree with the names of vLLM's that qchat uses, as the table has them."""

from pathlib import Path

from qchat.engine.runtime.vllm_entry_points import ENTRY_POINTS, EntryPoint


def write_vllm(folder: Path, *, newest: bool = True, without: str = "") -> None:
    """Write vLLM's modules into `folder`: every name in its newest (or its oldest) place.

    `without` is a name, a member (``AsyncLLM.errored``) or a parameter (``init_app_state.args``)
    that is left out.
    """
    for entry in ENTRY_POINTS.values():
        if entry.name != without:
            module = entry.modules[0 if newest else -1]
            path = folder.joinpath(*module.split(".")[1:], "__init__.py")
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write(_definition(entry, without.removeprefix(f"{entry.name}.")))


def _definition(entry: EntryPoint, without: str) -> str:
    if entry.parameters:
        names = ", ".join(name for name in entry.parameters if name != without)
        return f"def {entry.name}({names}): ...\n"
    members = [f"    def {member}(self): ...\n" for member in entry.members if member != without]
    return (
        f"class _{entry.name}:\n"
        + "".join(members or ["    ...\n"])
        + (f"class {entry.name}(_{entry.name}): ...\n")
    )
