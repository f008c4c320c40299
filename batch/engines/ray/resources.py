"""What a cluster has and what a run asks for, as values; nothing here talks to Ray."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ....i18n import _, plural

Bundle = Mapping[str, float]
"""Resources by Ray's names (``GPU``, ``CPU``)."""


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster: its resources in `total`, and those that nobody has taken."""

    name: str
    total: Bundle
    free: Bundle


@dataclass(frozen=True, slots=True)
class Demand:
    """From `least` to `most` replicas of `devices` GPUs each (or CPUs, where there are no GPUs)."""

    least: int
    most: int
    devices: int = 1


def bundle_for(nodes: Sequence[Node], demand: Demand) -> Bundle:
    """The resources of one replica.

    Where the cluster has GPUs, so many and a CPU for the front end. On the CPU, as many CPUs as let
    all replicas run at once on what is free.
    """
    with_gpus = [node for node in nodes if node.total.get("GPU", 0) >= 1]
    if with_gpus:
        bundle = {"GPU": float(demand.devices)}
        return bundle | ({"CPU": 1.0} if all(node.total.get("CPU") for node in with_gpus) else {})
    largest = int(max((node.free.get("CPU", 0) for node in nodes), default=0))
    for replicas in (demand.most, demand.least):
        for cpus in range(largest, demand.devices - 1, -1):
            if cpus and room([node.free for node in nodes], {"CPU": cpus}) >= replicas:
                return {"CPU": float(cpus)}
    return {"CPU": float(demand.devices)}


def room(resources: Sequence[Bundle], bundle: Bundle) -> int:
    """How many bundles fit; each lies within one node."""
    return sum(
        min(int(node.get(name, 0) // amount) for name, amount in bundle.items())
        for node in resources
    )


def shortage(nodes: Sequence[Node], bundle: Bundle, demand: Demand) -> str | None:
    """Why the least number of replicas can't run: what there is, what is asked. None if it can."""
    if room([node.free for node in nodes], bundle) >= demand.least:
        return None
    device = device_of(bundle)
    each = int(bundle[device])
    has = _has(nodes, device)
    free = [node.free for node in nodes]
    if "CPU" in bundle and device == "GPU" and room(free, {device: each}) >= demand.least:
        text = _(
            "The cluster's CPUs are in use: it has {has}, and each replica needs one beside its "
            "GPUs; {fit} would fit now."
        )
        return text.format(has=_has(nodes, "CPU"), fit=room(free, bundle))
    largest = max((int(node.total.get(device, 0)) for node in nodes), default=0)
    if largest < each:
        text = _(
            "No machine of the cluster has {each} for one replica (--tensor-parallel-size {n}): it "
            "has {has}."
        )
        return text.format(each=count_of(each, device), n=demand.devices, has=has)
    asked = plural(
        "{n} replica of {each} asks for {all}", "{n} replicas of {each} ask for {all}", demand.least
    ).format(n=demand.least, each=count_of(each, device), all=demand.least * each)
    if is_busy(nodes, bundle, demand):
        fit = room([node.free for node in nodes], bundle)
        text = _("The cluster is in use: it has {has}, and {asked}; {fit} would fit now.")
    else:
        fit = room([node.total for node in nodes], bundle)
        text = _("The cluster is too small: it has {has}, and {asked}; {fit} would fit.")
    message = text.format(has=has, asked=asked, fit=fit)
    if fit:
        hint = _("--replicas {fit}-{most} begins with those and takes more as they come.")
        message += " " + hint.format(fit=fit, most=max(demand.most, fit + 1))
    return message


def is_busy(nodes: Sequence[Node], bundle: Bundle, demand: Demand) -> bool:
    """Whether the least number of replicas would fit if nothing else ran on the cluster."""
    return room([node.total for node in nodes], bundle) >= demand.least


def device_of(bundle: Bundle) -> str:
    """The resource that counts: ``GPU``, or ``CPU`` where no GPUs are asked for."""
    return "GPU" if "GPU" in bundle else "CPU"


def count_of(n: int, device: str) -> str:
    """``1 GPU``, ``4 CPUs``."""
    if device == "GPU":
        return plural("{n} GPU", "{n} GPUs", n).format(n=n)
    return plural("{n} CPU", "{n} CPUs", n).format(n=n)


def _has(nodes: Sequence[Node], device: str) -> str:
    """``4 GPUs (1 free) on 2 machines (node-a: 2, node-b: 2)``."""
    total = sum(int(node.total.get(device, 0)) for node in nodes)
    free = sum(int(node.free.get(device, 0)) for node in nodes)
    names = ", ".join(f"{node.name}: {int(node.total.get(device, 0))}" for node in nodes[:_NAMES])
    if len(nodes) > _NAMES:
        names += ", …"
    text = plural(
        "{total} ({free} free) on {n} machine ({names})",
        "{total} ({free} free) on {n} machines ({names})",
        len(nodes),
    )
    return text.format(total=count_of(total, device), free=free, n=len(nodes), names=names)


_NAMES = 8  # nodes that a message names
