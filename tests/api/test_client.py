"""The client on its own: a stream that is broken off from another thread."""

import gc
import sys

import pytest

from qchat.api.client import Client
from qchat.api.endpoint import Endpoint
from qchat.errors import QchatError

from ..faults import running


@pytest.mark.parametrize("way", ["close", "forget", "read"])
def test_a_stream_that_is_broken_off_ends_in_silence(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda told: lost.append(told.exc_value))
    body = {"model": "demo", "messages": [{"role": "user", "content": "x [[answer:rate=50]]"}]}
    with running() as server, Client(Endpoint(server.base_url)) as client:
        stream = client.stream(body)
        next(stream)
        client.break_off()
        if way == "close":
            stream.close()  # type: ignore[attr-defined]
        elif way == "read":
            with pytest.raises(QchatError, match="broke off"):
                list(stream)
        del stream
        gc.collect()
    assert lost == []
