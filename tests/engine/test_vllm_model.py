"""Where a model is looked for, and what a model hub's errors mean."""

from pathlib import Path

import pytest

from qchat.engine.fit.memory_budget import cache_on_cpu
from qchat.engine.runtime import vllm_model
from qchat.errors import UsageError


class TestLocate:
    @pytest.mark.parametrize("name", ["./model", "/no/such", "~/no-such-folder", "a/b/c", "word"])
    def test_no_folder(self, name: str) -> None:
        with pytest.raises(UsageError, match="There is no folder"):
            vllm_model.locate_model(name)

    def test_a_folder_without_a_model(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"no config\.json"):
            vllm_model.locate_model(str(tmp_path))

    def test_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "x.bin").touch()
        with pytest.raises(UsageError, match="a model is a folder"):
            vllm_model.locate_model(str(tmp_path / "x.bin"))

    def test_a_model(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text("{}")
        assert vllm_model.locate_model(str(tmp_path)) == str(tmp_path)
        assert vllm_model.locate_model("Qwen/Qwen3-0.6B") == "Qwen/Qwen3-0.6B"


def test_the_kv_cache_on_the_cpu_holds_one_full_context() -> None:
    """However small the limit is, and however few sequences there are."""
    usual, whole = 4 << 20, 128 << 20
    assert cache_on_cpu(usual, whole, 1, 1 << 20) > whole
