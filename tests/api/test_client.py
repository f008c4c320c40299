"""The client on its own: a stream that is broken off from another thread."""

import gc
import sys
from collections.abc import Callable

import pytest

from qchat.api.client import Client, ServerError
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


@pytest.mark.parametrize(
    "send",
    [Client.models, lambda client: client.complete({}), lambda client: list(client.stream({}))],
)
def test_no_request_is_sent_after_a_break_off(send: Callable[[Client], object]) -> None:
    with running() as server, Client(Endpoint(server.base_url)) as client:
        client.break_off()
        with pytest.raises(ServerError, match="broke off the answer"):
            send(client)
        assert server.log.records == []
