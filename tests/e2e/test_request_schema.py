"""The list of parameters is that of the installed vLLM, at least."""

import typing
from types import NoneType, UnionType
from typing import Any

import pytest

from qchat.request_schema import (
    CHAT_PARAMETERS,
    COMPLETION_PARAMETERS,
    EMBEDDING_PARAMETERS,
    RERANK_PARAMETERS,
    RESPONSE_PARAMETERS,
    SCORE_PARAMETERS,
    ParameterType,
    type_of,
)

SET_BY_THE_COMMAND = {"messages", "prompt", "stream", "stream_options"}


def kind_of(annotation: Any) -> ParameterType:
    """The type of a field of vLLM's schema."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return kind_of(typing.get_args(annotation)[0])
    if origin in (typing.Union, UnionType):
        kinds = {kind_of(one) for one in typing.get_args(annotation) if one is not NoneType}
        several = kinds == {ParameterType.TEXT, ParameterType.JSON}
        return ParameterType.TEXT_OR_JSON if several else kinds.pop()
    types = {
        int: ParameterType.INTEGER,
        float: ParameterType.NUMBER,
        bool: ParameterType.BOOLEAN,
        str: ParameterType.TEXT,
        bytes: ParameterType.TEXT,
        typing.Literal: ParameterType.TEXT,
    }
    return types.get(origin or annotation, ParameterType.JSON)


def wrong_types(request: Any, parameters: frozenset[str], **options: bool) -> dict[str, Any]:
    """The fields of vLLM's schema that are of another type here."""
    return {
        name: (kind, type_of(name, **options))
        for name, field in request.model_fields.items()
        if name in parameters
        and (kind := kind_of(field.annotation)) is not type_of(name, **options)
    }


@pytest.mark.vllm
def test_every_parameter_of_vllms_schema_is_in_the_list() -> None:
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.entrypoints.openai.completion.protocol import CompletionRequest

    assert set(ChatCompletionRequest.model_fields) - SET_BY_THE_COMMAND <= CHAT_PARAMETERS
    assert set(CompletionRequest.model_fields) - SET_BY_THE_COMMAND <= COMPLETION_PARAMETERS
    assert wrong_types(ChatCompletionRequest, CHAT_PARAMETERS) == {}
    assert wrong_types(CompletionRequest, COMPLETION_PARAMETERS, completions=True) == {}


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
        assert wrong_types(request, parameters) == {}
