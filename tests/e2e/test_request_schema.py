"""The list of parameters is that of the installed vLLM, at least."""

import pytest

from qchat.request_schema import CHAT_PARAMETERS, COMPLETION_PARAMETERS

SET_BY_THE_COMMAND = {"messages", "prompt", "stream", "stream_options"}


@pytest.mark.vllm
def test_every_parameter_of_vllms_schema_is_in_the_list() -> None:
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.entrypoints.openai.completion.protocol import CompletionRequest

    assert set(ChatCompletionRequest.model_fields) - SET_BY_THE_COMMAND <= CHAT_PARAMETERS
    assert set(CompletionRequest.model_fields) - SET_BY_THE_COMMAND <= COMPLETION_PARAMETERS
