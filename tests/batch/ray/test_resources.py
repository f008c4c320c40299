"""What a cluster has against what is asked for, and the options of the engine `ray`."""

from pathlib import Path

import pytest
from qchat.batch.engines.ray.engine import RayOptions
from qchat.batch.engines.ray.resources import (
    Bundle,
    Demand,
    Node,
    bundle_for,
    is_busy,
    room,
    shortage,
)
from qchat.batch.engines.ray.session import first_line

from tests.batch.commands import batch, write


def gpus(*total: int, free: tuple[int, ...] | None = None) -> list[Node]:
    """Nodes with so many GPUs, and 32 CPUs each."""
    left = total if free is None else free
    return [
        Node(f"node-{n}", {"GPU": count, "CPU": 32}, {"GPU": unused, "CPU": 32})
        for n, (count, unused) in enumerate(zip(total, left, strict=True))
    ]


def cpus(*total: int) -> list[Node]:
    return [Node(f"node-{n}", {"CPU": count}, {"CPU": count}) for n, count in enumerate(total)]


@pytest.mark.parametrize(
    ("nodes", "demand", "bundle"),
    [
        (gpus(8, 8), Demand(4, 4, 2), {"GPU": 2, "CPU": 1}),
        (gpus(1, 0), Demand(1, 1), {"GPU": 1, "CPU": 1}),
        (cpus(2), Demand(1, 1), {"CPU": 2}),
        (cpus(2), Demand(2, 2), {"CPU": 1}),
        (cpus(8, 4), Demand(3, 3), {"CPU": 4}),
        (cpus(8, 4), Demand(1, 100), {"CPU": 8}),  # not so many fit: as the least number has it
        (cpus(1, 1), Demand(4, 4), {"CPU": 1}),
        (cpus(), Demand(1, 1, 2), {"CPU": 2}),
    ],
)
def test_the_resources_of_a_replica(nodes: list[Node], demand: Demand, bundle: Bundle) -> None:
    assert bundle_for(nodes, demand) == bundle


def test_gpus_of_a_node_without_cpus_are_used_too() -> None:
    node = Node("node", {"GPU": 4}, {"GPU": 4})
    assert bundle_for([node], Demand(1, 1, 2)) == {"GPU": 2}


def test_a_bundle_lies_within_one_node() -> None:
    bundle = {"GPU": 2.0, "CPU": 1.0}
    assert room([node.free for node in gpus(3, 3, 1)], bundle) == 2
    assert room([{"GPU": 8.0, "CPU": 2.0}], bundle) == 2


@pytest.mark.parametrize(
    ("nodes", "demand", "message"),
    [
        (
            gpus(2, 2),
            Demand(4, 4, 1),
            None,
        ),
        (
            gpus(2),
            Demand(4, 4, 2),
            "The cluster is too small: it has 2 GPUs (2 free) on 1 machine (node-0: 2), and 4 "
            "replicas of 2 GPUs ask for 8; 1 would fit. --replicas 1-4 begins with those and takes "
            "more as they come.",
        ),
        (
            gpus(2, 2),
            Demand(1, 1, 4),
            "No machine of the cluster has 4 GPUs for one replica (--tensor-parallel-size 4): it "
            "has 4 GPUs (4 free) on 2 machines (node-0: 2, node-1: 2).",
        ),
        (
            gpus(1, free=(0,)),
            Demand(1, 1),
            "The cluster is in use: it has 1 GPU (0 free) on 1 machine (node-0: 1), and 1 replica "
            "of 1 GPU asks for 1; 0 would fit now.",
        ),
        (
            [Node("node-0", {"GPU": 4, "CPU": 8}, {"GPU": 4, "CPU": 1})],
            Demand(2, 2),
            "The cluster's CPUs are in use: it has 8 CPUs (1 free) on 1 machine (node-0: 8), and "
            "each replica needs one beside its GPUs; 1 would fit now.",
        ),
    ],
)
def test_what_can_not_be_had_is_said(
    nodes: list[Node], demand: Demand, message: str | None
) -> None:
    assert shortage(nodes, bundle_for(nodes, demand), demand) == message


def test_what_is_in_use_may_come_back() -> None:
    nodes = gpus(4, free=(1,))
    assert is_busy(nodes, bundle_for(nodes, Demand(2, 2)), Demand(2, 2))
    assert not is_busy(nodes, bundle_for(nodes, Demand(5, 5)), Demand(5, 5))


def test_options_of_vllm_count_for_the_gpus_of_a_replica() -> None:
    assert RayOptions("m", Path(), tensor_parallel_size=2).devices == 2
    arguments = (("tensor_parallel_size", "4"), ("pipeline_parallel_size", "2"))
    assert RayOptions("m", Path(), engine_args=arguments).devices == 8


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--engine", "ray", "--replicas", "0"), "must be a number from 1 on, or a range such as"),
        (("--engine", "ray", "--replicas", "8-1"), "the range begins with the least number"),
        (("--engine", "ray", "--replicas", "1-"), "must be a number from 1 on, or a range such as"),
        (("--engine", "ray", "--base-url", "http://127.0.0.1:9"), "--engine ray uses no server"),
        (("--engine", "ray"), "No model is configured: give --model NAME"),
        (("--engine", "offline", "--replicas", "2"), "--replicas needs --engine ray."),
        (("--ray-address", "auto"), "--ray-address needs --engine ray."),
        (
            ("--tensor-parallel-size", "2", "--base-url", "http://127.0.0.1:9"),
            "--tensor-parallel-size is for the engines offline and ray",
        ),
    ],
)
def test_options_that_do_not_go_together(
    args: tuple[str, ...], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", "one")
    assert batch("in.jsonl", *args) == 2
    assert message in " ".join(capfd.readouterr().err.split())


@pytest.mark.usefixtures("home")
def test_without_ray_its_install_is_named(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("qchat.batch.engines.ray.session.find_spec", lambda _name: None)
    write("in.jsonl", "one")
    assert batch("in.jsonl", "--engine", "ray", "--model", "demo") == 2
    err = capfd.readouterr().err
    assert "--engine ray needs Ray; install it: " in err and "[ray]" in err


def test_other_versions_in_the_cluster_are_named() -> None:
    error = RuntimeError(
        "Version mismatch: The cluster was started with:\n    Ray: 2.50.0\n    Python: 3.12.1\n"
        "This process on 127.0.0.1 was started with:\n    Ray: 2.60.0\n    Python: 3.11.7\n"
    )
    assert first_line(error) == (
        "it runs Ray 2.50.0 on Python 3.12.1, and here is Ray 2.60.0 on Python 3.11.7; install "
        "the same versions on all machines."
    )
    assert first_line(ValueError("No such thing:\n  a\n  b\n")) == "No such thing: a b."
    assert first_line(ValueError("One.\nTwo.")) == "One." and first_line(KeyError()) == "KeyError."
