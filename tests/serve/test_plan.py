"""From the command line to the command that is started."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from qchat.serve.access.keys import MIN_LENGTH
from qchat.serve.planning.options import ServeOptions
from qchat.serve.planning.passthrough_args import (
    OWNED,
    option_names,
    option_value,
    refuse_owned,
)
from qchat.serve.planning.plan import ServePlan, is_loopback, make_plan
from qchat.serve.processes import ports

from qchat.engine.fit.fitting import best_fit
from qchat.engine.machine.hardware import Gpu, Machine
from qchat.engine.recipes.catalog import find_recipe
from qchat.errors import EngineError, UsageError
from tests.engine.file_server import file_server

CPU = Machine((), 24_000, 20_000, 4)
KEY = {"QCHAT_API_KEY": "k" * MIN_LENGTH}


def gpus(n: int, mib: int = 24_564) -> Machine:
    devices = tuple(Gpu(i, "GPU", mib, mib - 400, (8, 9)) for i in range(n))
    return Machine(devices, 128_000, 120_000, 16)


def value(plan: ServePlan, name: str) -> str | None:
    arguments = list(plan.vllm_args)
    return arguments[arguments.index(f"--{name}") + 1] if f"--{name}" in arguments else None


class TestPlan:
    def test_demo(self) -> None:
        plan = make_plan(ServeOptions("demo", port=23100), CPU, {})
        assert (plan.name, plan.model, plan.served_name) == ("demo", "demo", "demo")
        assert plan.url == "http://127.0.0.1:23100"
        assert value(plan, "reasoning-parser") == "qwen3"
        assert value(plan, "tool-call-parser") == "hermes"
        assert value(plan, "max-model-len") == "4096"
        assert plan.key_source == "none"
        assert plan.rules.loopback is True

    def test_a_second_valid_key_is_noted(self, tmp_path: Path) -> None:
        file = tmp_path / "keys"
        file.write_text("f" * MIN_LENGTH)
        file.chmod(0o600)
        plan = make_plan(ServeOptions("demo", key_file=file), CPU, KEY)
        (note,) = [note for note in plan.notes if "valid" in note]
        assert "QCHAT_API_KEY" in note and str(file) in note
        for environ, key_file in ((KEY, None), ({}, file)):
            notes = make_plan(ServeOptions("demo", key_file=key_file), CPU, environ).notes
            assert not any("valid" in note for note in notes)

    def test_a_recipe_takes_the_variant_that_fits_and_keeps_its_name(self) -> None:
        plan = make_plan(ServeOptions("qwen3-14b"), gpus(1), {})
        assert plan.model == "Qwen/Qwen3-14B-FP8"
        assert plan.served_name == "qwen3-14b"
        assert value(plan, "max-model-len") == "auto"
        assert value(plan, "tensor-parallel-size") is None

    def test_the_cache_on_the_cpu_is_what_the_arithmetic_promises(self) -> None:
        """At most what the weights leave free on a small machine; the user's own option wins."""
        match = find_recipe("Qwen3-4B")
        assert match is not None
        for machine in (CPU, Machine((), 16_000, 14_000, 4)):
            promised = best_fit(match.recipe, machine)
            plan = make_plan(ServeOptions("Qwen3-4B"), machine, {})
            assert value(plan, "kv-cache-memory-bytes") == str(promised.kv_mib << 20)
            assert value(plan, "max-model-len") == str(promised.context)
        assert promised.kv_mib == promised.room_mib
        for own in (["--max-num-seqs", "7"], ["--kv-cache-memory-bytes=9"]):
            plan = make_plan(ServeOptions("demo", passthrough_args=tuple(own)), CPU, {})
            assert plan.vllm_args[-len(own) :] == tuple(own)
            assert value(plan, "kv-cache-memory-bytes") is None
        sized = make_plan(ServeOptions("demo"), CPU, {"VLLM_CPU_KVCACHE_SPACE": "4"})
        assert value(sized, "kv-cache-memory-bytes") is None
        sized = make_plan(ServeOptions("demo", gpu_memory_utilization=0.5), CPU, {})
        assert value(sized, "kv-cache-memory-bytes") is None

    def test_several_gpus(self) -> None:
        plan = make_plan(ServeOptions("Qwen/Qwen3-32B"), gpus(4), {})
        assert value(plan, "tensor-parallel-size") == "4"
        assert plan.served_name == "Qwen3-32B"

    def test_without_a_model_the_best_that_fits(self) -> None:
        assert make_plan(ServeOptions(None), gpus(1), {}).model == "Qwen/Qwen3-30B-A3B-GPTQ-Int4"

    def test_one_that_does_not_fit_names_the_next(self) -> None:
        with pytest.raises(UsageError) as caught:
            make_plan(ServeOptions("Qwen/Qwen3-32B"), gpus(1), {})
        assert "62,751 MiB of weights" in str(caught.value)
        assert "Try: qchat serve Qwen/Qwen3-32B-AWQ" in str(caught.value)

    def test_yarn(self) -> None:
        plan = make_plan(ServeOptions("Qwen3-8B", yarn=True), gpus(1, 81_559), {})
        overrides = json.loads(value(plan, "hf-overrides") or "")
        assert overrides["rope_parameters"]["factor"] == 4.0
        assert overrides["max_position_embeddings"] == 131_072  # since vLLM 0.32 the limit

    def test_a_folder_and_an_id_without_a_recipe(self, tmp_path: Path) -> None:
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "config.json").write_text("{}")
        plan = make_plan(ServeOptions(str(tmp_path / "mine")), CPU, {})
        assert (plan.model, plan.served_name, plan.vllm_args) == (
            str(tmp_path / "mine"),
            "mine",
            (),
        )
        assert make_plan(ServeOptions("org/Some-Model"), CPU, {}).served_name == "Some-Model"

    def test_an_unknown_name_suggests_one(self) -> None:
        with pytest.raises(UsageError, match=r"did you mean .*Qwen3-8B"):
            make_plan(ServeOptions("Qwen3-9B"), CPU, {})

    def test_an_unknown_version_is_offered_on_the_hub(self) -> None:
        with pytest.raises(UsageError, match=r"qchat serve Qwen/Qwen3\.7-27B$") as caught:
            make_plan(ServeOptions("Qwen3.7-27B"), CPU, {})
        assert "did you mean" not in str(caught.value)

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
    def test_a_public_address_needs_a_key(self, host: str) -> None:
        with pytest.raises(UsageError, match="without a key"):
            make_plan(ServeOptions("demo", host=host), CPU, {})
        plan = make_plan(ServeOptions("demo", host=host), CPU, KEY)
        assert plan.rules.loopback is False
        assert any("TLS" in note for note in plan.notes)

    @pytest.mark.parametrize("key", ["", " ", "short"])
    def test_invalid_keys(self, key: str) -> None:
        with pytest.raises(UsageError, match="QCHAT_API_KEY"):
            make_plan(ServeOptions("demo"), CPU, {"QCHAT_API_KEY": key})
        with pytest.raises(UsageError, match="VLLM_API_KEY"):
            make_plan(ServeOptions("demo"), CPU, {"VLLM_API_KEY": key})

    def test_a_key_is_nowhere_in_a_plan(self, tmp_path: Path) -> None:
        file = tmp_path / "keys"
        file.write_text(f"alice {'s' * MIN_LENGTH}\n")
        file.chmod(0o600)
        plan = make_plan(ServeOptions("demo", key_file=file), CPU, KEY)
        assert plan.key_source == str(file)
        for text in (plan.shell_command(), plan.to_json(), repr(plan)):
            assert "s" * MIN_LENGTH not in text and KEY["QCHAT_API_KEY"] not in text

    def test_it_travels_as_json(self) -> None:
        plan = make_plan(ServeOptions("demo", allowed_origins=("https://a.example",)), CPU, {})
        assert ServePlan.from_json(plan.to_json()) == plan
        other = json.dumps(json.loads(plan.to_json()) | {"version": 1})
        with pytest.raises(EngineError, match="another version of qchat"):
            ServePlan.from_json(other)
        assert value(plan, "allowed-origins") == '["https://a.example"]'

    def test_the_command(self) -> None:
        plan = make_plan(
            ServeOptions("demo", passthrough_args=("--max-num-seqs", "7", "--max-num-seqs=8")),
            CPU,
            {},
        )
        command = plan.command(123)
        assert command[:3] == [sys.executable, "-m", "qchat.serve.launcher"]
        at = command.index("--")
        assert command[at - 2 : at] == ["--parent-pid", "123"]
        assert command[-3:] == ["--max-num-seqs", "7", "--max-num-seqs=8"]

    def test_the_users_own_parser_wins(self) -> None:
        plan = make_plan(
            ServeOptions("demo", passthrough_args=("--reasoning_parser", "mine")), CPU, {}
        )
        assert plan.vllm_args.count("--reasoning-parser") == 0

    def test_parsers_come_from_the_template_of_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text("{}")
        template = "<|im_start|><tool_call>\n<function=name>{% if enable_thinking %}<think>"
        (tmp_path / "chat_template.jinja").write_text(template)
        plan = make_plan(ServeOptions(str(tmp_path)), CPU, {})
        assert value(plan, "reasoning-parser") == "qwen3"
        assert value(plan, "tool-call-parser") == "qwen3_coder"
        assert "--enable-auto-tool-choice" in plan.vllm_args
        own = tmp_path / "own.jinja"
        own.write_text("[TOOL_CALLS]")
        for given in (
            ("--chat-template", str(own)),
            (f"--chat_template={own}",),
            ("--chat-template", "{{ '[TOOL_CALLS]' }}"),
            ("--chat-template", "none.jinja", "--chat-template", str(own)),
        ):
            options = ServeOptions(str(tmp_path), passthrough_args=given)
            assert value(make_plan(options, CPU, {}), "tool-call-parser") == "mistral"

    def test_a_parser_that_misses_the_models_marks_is_noted_once(self) -> None:
        options = ServeOptions("demo", passthrough_args=("--tool-call-parser", "qwen3_coder"))
        (note,) = [note for note in make_plan(options, CPU, {}).notes if "qwen3_coder" in note]
        assert "--tool-call-parser hermes" in note
        options = ServeOptions("demo", passthrough_args=("--tool-call-parser", "qwen3_json"))
        assert not [note for note in make_plan(options, CPU, {}).notes if "parser" in note]

    def test_a_downloaded_template_is_right_where_the_recipe_is_not(self, tmp_path: Path) -> None:
        folder = tmp_path / "models--Qwen--Qwen3-4B"
        (folder / "snapshots" / "abc").mkdir(parents=True)
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text("abc")
        (folder / "snapshots" / "abc" / "chat_template.jinja").write_text("[TOOL_CALLS]")
        plan = make_plan(ServeOptions("Qwen/Qwen3-4B"), gpus(1), {"HF_HUB_CACHE": str(tmp_path)})
        assert value(plan, "tool-call-parser") == "mistral"
        assert value(plan, "reasoning-parser") is None

    def test_the_hub_is_asked_on_request(self) -> None:
        config = json.dumps({"chat_template": "<minimax:tool_call>"}).encode()
        with file_server({"/org/some/resolve/main/tokenizer_config.json": config}) as hub:
            environ = {"HF_ENDPOINT": hub.url}
            plan = make_plan(ServeOptions("org/some"), CPU, environ)
            assert value(plan, "tool-call-parser") is None and not hub.requests
            plan = make_plan(ServeOptions("org/some"), CPU, environ, ask_hub=True)
            assert value(plan, "tool-call-parser") == "minimax_m2"

    def test_a_recipes_options_reach_vllm_unless_given(self) -> None:
        big = Machine(tuple(Gpu(i, "B200", 183_000, 182_000, (10, 0)) for i in range(8)), 9, 9, 1)
        plan = make_plan(ServeOptions("nvidia/DeepSeek-V3.2-NVFP4"), big, {})
        assert value(plan, "tokenizer-mode") == "deepseek_v32"
        assert value(plan, "kv-cache-dtype") == "fp8"
        assert value(plan, "tool-call-parser") == "deepseek_v32"
        own = ServeOptions(
            "nvidia/DeepSeek-V3.2-NVFP4", passthrough_args=("--kv-cache-dtype", "auto")
        )
        assert [*make_plan(own, big, {}).vllm_args].count("--kv-cache-dtype") == 1

    def test_host_names_are_compared_in_lower_case(self) -> None:
        plan = make_plan(ServeOptions("demo", allowed_hosts=("LLM.Example",)), CPU, {})
        assert plan.rules.allowed_hosts == ("llm.example",)

    def test_loopback(self) -> None:
        assert all(map(is_loopback, ["127.0.0.1", "127.1.2.3", "::1", "localhost"]))
        assert not any(map(is_loopback, ["0.0.0.0", "::", "10.0.0.1", "localhost.example", ""]))


class TestPassthroughArguments:
    @pytest.mark.parametrize(
        "arguments",
        [
            *([f"--{name}", "x"] for name in OWNED),
            ["--host=0.0.0.0"],
            ["--HOST".lower(), "0.0.0.0"],
            ["--hos", "0.0.0.0"],
            ["--api_key", "x"],
            ["--api-k=x"],
            ["--middlewar", "x"],
            ["--max-num-seqs", "1", "--root_path", "/"],
            ["-tp", "2"],
            ["-t", "2"],
            ["-host", "0.0.0.0"],
            ["-h"],
        ],
    )
    def test_options_that_qchat_sets(self, arguments: list[str]) -> None:
        with pytest.raises(UsageError, match="is set by qchat"):
            refuse_owned(arguments)

    @pytest.mark.parametrize("option", ["--hf-token", "--hf_token", "--hf-t"])
    def test_a_token_has_a_variable(self, option: str) -> None:
        for arguments in ([option, "hf_secret"], ["--seed", "1", f"{option}=hf_secret"]):
            with pytest.raises(UsageError, match=f"{option} can't be given.*HF_TOKEN") as caught:
                refuse_owned(arguments)
            assert "hf_secret" not in str(caught.value)

    @pytest.mark.parametrize(
        "arguments",
        [
            [],
            ["--max-num-seqs", "64"],
            ["--model-impl", "vllm"],
            ["--lora-modules", "a=b", "c=d", "--enable-lora"],
            ["--limit-mm-per-prompt.image", "2", "--cpu-offload-gb", "-1"],
            ["-O3"],
            ["-n", "2", "-r", "0", "-dpa", "10.0.0.1", "-dpr", "4", "-asc", "1"],
            ["-x", "1"],
        ],
    )
    def test_options_of_vllm(self, arguments: list[str]) -> None:
        refuse_owned(arguments)

    def test_names(self) -> None:
        assert option_names(["--a_b", "1", "2", "--c", "-dp", "3", "--d=-4", "--e", "-5"]) == {
            "a-b": "1",
            "c": "",
            "data-parallel-size": "3",
            "d": "-4",
            "e": "-5",
        }
        with pytest.raises(UsageError, match="neither"):
            option_names(["word"])

    @pytest.mark.parametrize(
        ("arguments", "name", "value"),
        [
            (["-n", "2"], "nnodes", "2"),
            (["-n2"], "nnodes", "2"),
            (["-r=0"], "node-rank", "0"),
            (["-r", "0"], "node-rank", "0"),
            (["-dpa", "10.0.0.1"], "data-parallel-address", "10.0.0.1"),
            (["-dpr", "4"], "data-parallel-start-rank", "4"),
            (["-t", "2"], "tensor-parallel-size", "2"),
            (["-O3"], "optimization-level", "3"),
            (["-cc.mode", "3"], "compilation-config.mode", "3"),
            (["--seed", "1", "--seed", "2"], "seed", "2"),
            (["--seed", "1", "--seed=2", "3"], "seed", "2"),
        ],
    )
    def test_short_and_repeated_ones(self, arguments: list[str], name: str, value: str) -> None:
        assert option_names(arguments) == {name: value}
        assert option_value(arguments, name) == value

    @pytest.mark.vllm
    @pytest.mark.slow
    def test_the_short_ones_are_vllms(self) -> None:
        program = (
            "from qchat.engine.runtime.vllm_entry_points import load\n"
            "for action in load('make_arg_parser')(load('FlexibleArgumentParser')())._actions:\n"
            "    long, *more = sorted(action.option_strings, key=len, reverse=True) or ['']\n"
            "    for short in more:\n"
            "        if not short.startswith('--'):\n"
            "            print('SHORT', short[1:], long[2:].removeprefix('no-'))\n"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        found = dict(x.split()[1:] for x in done.stdout.splitlines() if x.startswith("SHORT"))
        assert found, done.stderr
        assert {s: option_names([f"-{s}", "1"]) for s in found} == {
            s: {long: "1"} for s, long in found.items()
        }

    def test_the_last_of_repeated_ones_counts(self) -> None:
        arguments = ("--shutdown-timeout", "5", "--shutdown-time=60")
        plan = make_plan(ServeOptions("demo", passthrough_args=arguments), CPU, {})
        assert plan.shutdown_timeout == 60.0
        one, other = ("--reasoning-parser", "qwen3"), ("--reasoning-parser", "deepseek_r1")
        for arguments, is_conflict in (((*one, *other), True), ((*other, *one), False)):
            plan = make_plan(ServeOptions("demo", passthrough_args=arguments), CPU, {})
            assert any("deepseek_r1" in note for note in plan.notes) == is_conflict


# Elsewhere the message does not name the process.
@pytest.mark.skipif(sys.platform != "linux", reason="the listener is read from Linux's /proc")
def test_a_port_in_use_names_the_process() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        listener = ports.listener(port)
        assert listener is not None and listener.pid == os.getpid()
        with pytest.raises(UsageError, match=f"process {os.getpid()} listens there"):
            ports.check("127.0.0.1", port)
    ports.check("127.0.0.1", port)
    assert ports.listener(port) is None
