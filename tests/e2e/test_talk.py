"""Going on with an answer, against a real vLLM."""

from pathlib import Path

import pytest

from qchat.api.endpoint import Endpoint
from qchat.message_state import MessageState
from qchat.sampling import Sampling
from qchat.settings import TuiSettings
from qchat.store import open_store
from qchat.tui.app import ChatApp
from qchat.tui.launch import LaunchOptions
from qchat.tui.transcript.message import Message

from ..tui.waiting import wait_until
from .servers import Server

pytestmark = pytest.mark.vllm

_GREEDY = Sampling(temperature=0.0, thinking=False)


async def test_a_cut_answer_goes_on_as_if_it_had_not_been_cut(
    demo_server: Server, tmp_path: Path
) -> None:
    with open_store(tmp_path) as store:
        question = "What can you do?"
        start = LaunchOptions(
            Endpoint(demo_server.base_url), None, _GREEDY, None, False, question, TuiSettings()
        )
        app = ChatApp(lambda: store, start)

        def last() -> Message | None:
            """The answer, once it has ended."""
            messages = app.transcript.messages
            ended = len(messages) == 2 and messages[1].state is not MessageState.STREAMING
            return messages[1] if ended and not app.conversation.busy else None

        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: last() is not None, 60)
            whole = app.transcript.messages[1].text
            app.parts.settings.apply(app.parts.settings.current.with_value("max_tokens", 5))
            await pilot.press("ctrl+r")
            await wait_until(lambda: (found := last()) and found.version == (2, 2), 60)
            cut = app.transcript.messages[1]
            assert whole.startswith(cut.text) and len(cut.text) < len(whole)
            assert "Truncated at the token limit" in cut.note
            app.parts.settings.apply(app.parts.settings.current.with_value("max_tokens", None))
            await pilot.press("alt+g")
            await wait_until(lambda: (found := last()) and found.text != cut.text, 60)
            assert app.transcript.messages[1].text == whole
