"""What a model hub's errors mean, and the ways around: from texts, and from a hub that fails."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from qchat.engine.models.hub_errors import explain_hub_error
from qchat.engine.runtime.vllm_model import check_hub
from qchat.errors import EngineError
from tests.engine.file_server import file_server

NO_NETWORK = "ConnectionError: Max retries exceeded"


class TestTexts:
    def test_unreachable_shows_the_ways_around(self) -> None:
        message = str(explain_hub_error("org/name", NO_NETWORK, {}))
        assert "https://huggingface.co" in message and "unreachable" in message
        assert "HF_ENDPOINT=https://hf-mirror.com qchat serve org/name." in message
        assert "VLLM_USE_MODELSCOPE=1 qchat serve org/name (" in message
        assert "hf download org/name --local-dir name" in message
        assert "qchat serve ./name." in message
        assert "\n" not in message  # one line of a log

    def test_the_command_is_the_persons(self) -> None:
        text = explain_hub_error("org/name", NO_NETWORK, {}, command="qchat batch FILE --model")
        assert "VLLM_USE_MODELSCOPE=1 qchat batch FILE --model org/name" in str(text)
        assert "qchat batch FILE --model ./name" in str(text)

    def test_a_mirror_that_fails_is_not_offered_again(self) -> None:
        message = str(explain_hub_error("a/b", NO_NETWORK, {"HF_ENDPOINT": "https://m.example"}))
        assert "https://m.example" in message and "hf-mirror" not in message
        message = str(explain_hub_error("a/b", NO_NETWORK, {"VLLM_USE_MODELSCOPE": "true"}))
        assert "modelscope.cn" in message and "VLLM_USE_MODELSCOPE=0 qchat serve a/b" in message
        assert "VLLM_USE_MODELSCOPE=1" not in message

    def test_offline(self) -> None:
        environ = {"HF_HUB_OFFLINE": "1"}
        message = str(explain_hub_error("a/b", "OfflineModeIsEnabled: …", environ))
        assert "HF_HUB_OFFLINE is set" in message and "the network" not in message
        assert "hf download a/b" in message and "hf-mirror" not in message

    @pytest.mark.parametrize(
        ("text", "meaning"),
        [
            ("is not a valid model identifier", "has no a/b"),
            (
                "RepositoryNotFoundError: 404 Client Error.\n\nRepository Not Found for url: h. If "
                "you are trying to access a private or gated repo, make sure you are authenticated",
                "has no a/b",
            ),
            ("GatedRepoError: 401 Client Error.\n\nCannot access gated repo", "accepted its terms"),
            ("OSError: You are trying to access a gated repo.\nMake sure", "accepted its terms"),
            ("HfHubHTTPError: 403 Client Error: Forbidden for url", "refused access"),
            ("HfHubHTTPError: 429 Client Error: Too Many Requests", "unreachable"),
            ("HfHubHTTPError: 503 Server Error: Service Unavailable", "unreachable"),
            ("OSError: [Errno 101] Network is unreachable", "unreachable"),
        ],
    )
    def test_meanings(self, text: str, meaning: str) -> None:
        assert meaning in str(explain_hub_error("a/b", text, {}))

    def test_any_other_error(self) -> None:
        assert explain_hub_error("a/b", "ValueError: unknown architecture", {}) is None


class TestAHubThatFails:
    """Through the hub's own client."""

    @pytest.fixture(autouse=True)
    def environment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        pytest.importorskip("huggingface_hub")
        for name in ("HF_HUB_OFFLINE", "VLLM_USE_MODELSCOPE", "HF_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        yield

    def message(self, monkeypatch: pytest.MonkeyPatch, endpoint: str) -> str:
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        with pytest.raises(EngineError) as caught:
            check_hub("qchat-tests/none")
        return str(caught.value)

    @pytest.mark.parametrize(
        ("status", "code", "meaning"),
        [
            (401, "GatedRepo", "accepted its terms"),
            (403, "GatedRepo", "accepted its terms"),
            (401, "RepoNotFound", "has no qchat-tests/none"),
            (404, "RepoNotFound", "has no qchat-tests/none"),
            (403, "", "refused access"),
        ],
    )
    def test_refusals(
        self, monkeypatch: pytest.MonkeyPatch, status: int, code: str, meaning: str
    ) -> None:
        headers = {"X-Error-Code": code} if code else {}
        with file_server({}, status=status, headers=headers) as hub:
            message = self.message(monkeypatch, hub.url)
        assert meaning in message and hub.url in message
        assert any("/api/models/qchat-tests/none" in request.path for request in hub.requests)

    def test_no_route(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with file_server({}) as hub:
            gone = hub.url
        message = self.message(monkeypatch, gone)
        assert "unreachable" in message and "VLLM_USE_MODELSCOPE=1 qchat serve" in message
