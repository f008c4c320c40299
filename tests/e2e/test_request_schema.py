"""The list of parameters is that of the installed vLLM, at least."""

import pytest

from qchat.request_schema import (
    CHAT_PARAMETERS,
    COMPLETION_PARAMETERS,
    EMBEDDING_PARAMETERS,
    RERANK_PARAMETERS,
    RESPONSE_PARAMETERS,
    SCORE_PARAMETERS,
)

SET_BY_THE_COMMAND = {"messages", "prompt", "stream", "stream_options"}


@pytest.mark.vllm
def test_every_parameter_of_vllms_schema_is_in_the_list() -> None:
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.entrypoints.openai.completion.protocol import CompletionRequest

    assert set(ChatCompletionRequest.model_fields) - SET_BY_THE_COMMAND <= CHAT_PARAMETERS
    assert set(CompletionRequest.model_fields) - SET_BY_THE_COMMAND <= COMPLETION_PARAMETERS


@pytest.mark.slow
@pytest.mark.vllm
def test_those_of_other_endpoints_too() -> None:
    from vllm.entrypoints.openai.responses.protocol import ResponsesRequest
    from vllm.entrypoints.pooling.embed.protocol import (
        EmbeddingChatRequest,
        EmbeddingCompletionRequest,
    )
    from vllm.entrypoints.pooling.scoring.protocol import RerankRequest, ScoreTextRequest

    texts = {"input", "text_1", "text_2", "query", "documents", *SET_BY_THE_COMMAND}
    for request, parameters in (
        (EmbeddingCompletionRequest, EMBEDDING_PARAMETERS),
        (EmbeddingChatRequest, EMBEDDING_PARAMETERS),
        (ScoreTextRequest, SCORE_PARAMETERS),
        (RerankRequest, RERANK_PARAMETERS),
        (ResponsesRequest, RESPONSE_PARAMETERS),
    ):
        assert set(request.model_fields) - texts <= parameters
