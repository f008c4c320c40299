"""Keys and tokens on command lines."""

import pytest
from qchat.serve.processes.argument_secrets import mask_secrets, secret_option

KEY = "sk-very-secret"


@pytest.mark.parametrize(
    ("arguments", "masked"),
    [
        (["vllm", "serve", "m", "--api-key", KEY, "--port", "1"], "--api-key *** --port 1"),
        (["vllm", "serve", "--api-key", KEY, KEY, "--port", "1"], "--api-key *** *** --port 1"),
        (["vllm", "serve", f"--api-key={KEY}", "m"], "--api-key=*** m"),
        (["x", "--hf_token", KEY], "--hf_token ***"),
        (["x", "--hf-tok", KEY], "--hf-tok ***"),
        (["x", "--extra.token", KEY], "--extra.token ***"),
        (["env", f"OPENAI_API_KEY={KEY}", "x"], "env OPENAI_API_KEY=*** x"),
        (["x", "--max-num-batched-tokens", "8192"], "--max-num-batched-tokens 8192"),
        (["x", "--tokenizer", "t", "a=b"], "--tokenizer t a=b"),
    ],
)
def test_keys_on_a_command_line_are_masked(arguments: list[str], masked: str) -> None:
    text = " ".join(mask_secrets(arguments))
    assert text.endswith(masked) and KEY not in text


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["--seed", "1", "--hf-token", KEY], "--hf-token"),
        ([f"--hf_token={KEY}"], "--hf_token"),
        (["--hf-token"], None),  # vLLM then uses the stored token
        (["--tokenizer", "t"], None),
        ([], None),
    ],
)
def test_the_option_with_a_secret_is_named(arguments: list[str], option: str | None) -> None:
    assert secret_option(arguments) == option
