"""Causes of failed starts, from vLLM's log."""

from pathlib import Path

import pytest

from qchat.engine.runtime.diagnosis import explain_log, last_error


class TestExplain:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("… the estimated maximum model length is 1024. Try …", "--max-model-len 1024"),
            ("ValueError: No available memory for the cache blocks.", "KV cache"),
            (
                "Free memory on device cuda:0 (3.1/79.0 GiB) on startup is less than desired",
                "Only 3.1 of 79.0 GiB",
            ),
            ("torch.OutOfMemoryError: CUDA out of memory. Tried", "too small for this model"),
            (
                "Model architectures ['FooForCausalLM'] are not supported for now",
                "(FooForCausalLM)",
            ),
            (
                "safetensors._safetensors_rust.SafetensorError: Error while deserializing header",
                "missing or damaged",
            ),
            (
                'utils.py", line 113, in parse_safetensors_file_metadata\n    …\nMemoryError',
                "missing or damaged",
            ),
            (
                "RuntimeError: start (0) + length (999) exceeds dimension size (512).",
                "do not fit its config.json",
            ),
            ("httpx2.ReadTimeout: timed out", "still missing (timed out)"),
            (
                "UserWarning: Not enough free disk space to download the file. …\n"
                "OSError: [Errno 28] No space left on device",
                "The disk is full",
            ),
            (
                "RuntimeError: The NVIDIA driver on your system is too old (found version 12080).",
                "Update the driver",
            ),
            (
                "ImportError: libcudart.so.13: cannot open shared object file: No such file",
                "(libcudart.so.13)",
            ),
            (
                "ImportError('libcuda.so.1: cannot open shared object file: No such file')\n"
                "RuntimeError: Failed to infer device type, please set",
                "finds no GPU",
            ),
            (
                "pydantic_core._pydantic_core.ValidationError: 2 validation errors for "
                "SchedulerConfig\n"
                "max_num_batched_tokens\n"
                "  Input should be greater than or equal to 1 [type=greater_than_equal, "
                "input_value=0, input_type=int]\n"
                "    For further information visit https://errors.pydantic.dev/2.14/v/x\n"
                "max_num_seqs\n"
                "  Input should be less than 9 [type=less_than, input_value=9, input_type=int]\n",
                "does not accept these values: max_num_batched_tokens: Input should be greater "
                "than or equal to 1; max_num_seqs: Input should be less than 9.",
            ),
            (
                "ValidationError: 1 validation error for ModelConfig\n"
                "  Value error, User-specified max_model_len (9) is greater than the derived "
                "max_model_len (max_position_embeddings=4 or ) [type=value_error, input_value=...]",
                "context is 4 tokens",
            ),
            ("all is well", None),
        ],
    )
    def test_recognized_causes(self, text: str, message: str | None) -> None:
        explanation = explain_log(text)
        assert (
            (explanation is None)
            if message is None
            else (explanation is not None and message in explanation)
        )

    def test_another_cause_is_quoted_from_the_log(self, tmp_path: Path) -> None:
        log = tmp_path / "log"
        old = "ValueError: of an earlier run\n"
        log.write_text(
            old + "(Worker pid=1) ERROR 11-24 07:53:39 [x.py:72] ValueError: the hinge is loose\n"
            "RuntimeError: Engine core initialization failed. See root cause above.\n"
        )
        assert last_error(log) == "the hinge is loose"
        assert last_error(log, len(log.read_bytes())) is None
        assert last_error(tmp_path / "none") is None
