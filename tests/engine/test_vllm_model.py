"""Where a model is looked for, and what a model hub's errors mean."""

from pathlib import Path

import pytest

from qchat.engine import vllm_model
from qchat.engine.memory_budget import cache_on_cpu
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


class TestHubTrouble:
    def test_unreachable_names_the_configured_hub(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example")
        message = vllm_model.explain_hub_error(
            "a/b", "We couldn't connect to 'https://mirror.example'"
        )
        assert message is not None and "https://mirror.example" in message and "a/b" in message
        monkeypatch.setenv("VLLM_USE_MODELSCOPE", "true")
        with monkeypatch.context() as offline:
            offline.setenv("HF_HUB_OFFLINE", "1")
            message = str(vllm_model.explain_hub_error("a/b", "OfflineModeIsEnabled: …"))
            assert "HF_HUB_OFFLINE is set" in message and "network" not in message
        message = vllm_model.explain_hub_error("a/b", "ConnectionError: …")
        assert message is not None and "modelscope" in message

    def test_not_there_and_not_allowed(self) -> None:
        assert "has no a/b" in str(
            vllm_model.explain_hub_error("a/b", "is not a valid model identifier")
        )
        text = "GatedRepoError: 401 Client Error.\n\nCannot access gated repo for url http://h/a/b."
        assert "accepted its terms" in str(vllm_model.explain_hub_error("a/b", text))
        text = "OSError: You are trying to access a gated repo.\nMake sure to have access to it"
        assert "accepted its terms" in str(vllm_model.explain_hub_error("a/b", text))
        text = (
            "RepositoryNotFoundError: 404 Client Error.\n\nRepository Not Found for url: http://h. "
            "If you are trying to access a private or gated repo, make sure you are authenticated"
        )
        assert "has no a/b" in str(vllm_model.explain_hub_error("a/b", text))
        assert vllm_model.explain_hub_error("a/b", "division by zero") is None


def test_the_kv_cache_on_the_cpu_holds_one_full_context() -> None:
    """However small the limit is, and however few sequences there are."""
    usual, whole = 4 << 20, 128 << 20
    assert cache_on_cpu(usual, whole, 1, 1 << 20) > whole
