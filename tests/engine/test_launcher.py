"""The launcher's options, before it imports vLLM."""

import socket

import pytest
from qchat.serve.launcher import main as launch

from qchat import lifeline


class TestLauncher:
    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
    def test_a_public_address_is_refused(
        self, host: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lifeline, "die_with_parent", lambda *_: pytest.fail("went on"))
        assert launch(["--host", host]) == 2
        assert "this machine only" in capsys.readouterr().err

    @pytest.mark.parametrize("extra", [["--port", "1"], ["stray"], ["--host=0.0.0.0"]])
    def test_vllm_options_that_it_owns(
        self, extra: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert launch(["--", *extra]) == 2
        assert capsys.readouterr().err.startswith("Error: ")


def test_a_port_in_use_is_reported_before_anything_loads(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert launch(["--model", "demo", "--port", str(port)]) == 2
    assert f"Port {port} on 127.0.0.1 is not available" in capsys.readouterr().err
