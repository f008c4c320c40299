"""The parameters of a request, as vLLM's server names them.

Source: the classes `ChatCompletionRequest` and `CompletionRequest` of vLLM 0.32.0
(vllm/entrypoints/openai/{chat_completion,completion}/protocol.py), without what the command sets
itself: messages, prompt, stream and stream_options. tests/e2e/test_request_schema.py compares
them, and their types, to the vLLM that is installed.
"""

import enum

_BOTH = frozenset(
    (
        *("model", "max_tokens", "min_tokens", "n", "seed", "priority", "user", "echo"),
        *("temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty"),
        *("repetition_penalty", "length_penalty", "repetition_detection", "logit_bias"),
        *("stop", "stop_token_ids", "include_stop_str_in_output", "bad_words", "ignore_eos"),
        *("skip_special_tokens", "spaces_between_special_tokens", "add_special_tokens"),
        *("allowed_token_ids", "logprob_token_ids", "logprobs", "prompt_logprobs"),
        *("truncate_prompt_tokens", "truncation_side", "use_beam_search", "watermarking"),
        *("response_format", "structured_outputs", "thinking_token_budget"),
        *("request_id", "session_id", "cache_salt", "stream_interval", "vllm_xargs"),
        *("return_tokens_as_token_ids", "return_token_ids", "return_token_offsets"),
        *("return_mm_kwargs", "mm_payload", "routed_experts_prompt_start"),
        *("kv_transfer_params", "ec_transfer_params"),
    )
)

CHAT_PARAMETERS = _BOTH | frozenset(
    (
        *("max_completion_tokens", "top_logprobs", "tools", "tool_choice", "parallel_tool_calls"),
        *("reasoning_effort", "include_reasoning", "documents", "return_prompt_text"),
        *("chat_template", "chat_template_kwargs", "media_io_kwargs", "mm_processor_kwargs"),
        *("add_generation_prompt", "continue_final_message"),
    )
)
"""Parameters of ``/v1/chat/completions``."""

COMPLETION_PARAMETERS = _BOTH | {"suffix", "prompt_embeds"}
"""Parameters of ``/v1/completions``."""

_POOLING = frozenset(
    (
        *("model", "user", "priority", "request_id", "cache_salt", "use_activation", "padding"),
        *("truncate_prompt_tokens", "truncation_side", "mm_processor_kwargs"),
    )
)

EMBEDDING_PARAMETERS = _POOLING | frozenset(
    (
        *("dimensions", "encoding_format", "embed_dtype", "endianness", "add_special_tokens"),
        *("add_generation_prompt", "continue_final_message", "chat_template"),
        *("chat_template_kwargs", "media_io_kwargs"),
    )
)
"""Parameters of ``/v1/embeddings``, for texts and for messages."""

SCORE_PARAMETERS = _POOLING | frozenset(
    (
        *("instruction", "chat_template_kwargs"),
        *("max_tokens_per_doc", "max_tokens_per_query"),
    )
)
"""Parameters of ``/v1/score``."""

RERANK_PARAMETERS = SCORE_PARAMETERS | {"top_n"}
"""Parameters of ``/v1/rerank``."""

RESPONSE_PARAMETERS = frozenset(
    (
        *("model", "instructions", "max_output_tokens", "temperature", "top_p", "top_k", "min_p"),
        *("presence_penalty", "frequency_penalty", "repetition_penalty", "seed", "stop"),
        *("stop_token_ids", "ignore_eos", "logit_bias", "include_stop_str_in_output"),
        *("skip_special_tokens", "structured_outputs", "reasoning", "text", "tools"),
        *("tool_choice", "parallel_tool_calls", "max_tool_calls", "top_logprobs", "truncation"),
        *("include", "include_reasoning", "metadata", "previous_response_id", "store"),
        *("background", "service_tier", "prompt_cache_key", "user", "priority", "request_id"),
        *("session_id", "cache_salt", "chat_template_kwargs", "media_io_kwargs", "watermarking"),
        *("mm_processor_kwargs", "mm_payload", "return_mm_kwargs", "vllm_xargs"),
        *("enable_response_messages", "previous_input_messages"),
        *("kv_transfer_params", "ec_transfer_params"),
    )
)
"""Parameters of ``/v1/responses``."""

QUESTION_PARAMETERS = frozenset({"model", "user", "priority", "request_id", "cache_salt"})
"""Parameters of ``/v1/decisions`` and ``/v1/systemone``."""


class ParameterType(enum.Enum):
    """What a parameter's value is."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    JSON = "a list or an object"
    TEXT_OR_JSON = "a text, a list or an object"


_NAMES_BY_TYPE = {
    ParameterType.INTEGER: (
        *("max_tokens", "min_tokens", "max_completion_tokens", "max_output_tokens", "n", "seed"),
        *("top_k", "top_n", "top_logprobs", "prompt_logprobs", "priority", "dimensions"),
        *("truncate_prompt_tokens", "thinking_token_budget", "stream_interval", "max_tool_calls"),
        *("routed_experts_prompt_start", "max_tokens_per_doc", "max_tokens_per_query"),
    ),
    ParameterType.NUMBER: (
        *("temperature", "top_p", "min_p", "presence_penalty", "frequency_penalty"),
        *("repetition_penalty", "length_penalty"),
    ),
    ParameterType.BOOLEAN: (
        *("echo", "ignore_eos", "include_stop_str_in_output", "use_beam_search", "watermarking"),
        *("skip_special_tokens", "spaces_between_special_tokens", "add_special_tokens"),
        *("add_generation_prompt", "continue_final_message", "parallel_tool_calls"),
        *("include_reasoning", "return_tokens_as_token_ids", "return_token_ids"),
        *("return_token_offsets", "return_prompt_text", "return_mm_kwargs", "use_activation"),
        *("store", "background", "enable_response_messages"),
    ),
    ParameterType.JSON: (
        *("tools", "response_format", "structured_outputs", "logit_bias", "documents", "include"),
        *("stop_token_ids", "bad_words", "allowed_token_ids", "logprob_token_ids", "metadata"),
        *("chat_template_kwargs", "media_io_kwargs", "mm_processor_kwargs", "vllm_xargs"),
        *("kv_transfer_params", "ec_transfer_params", "repetition_detection", "reasoning", "text"),
        "previous_input_messages",
    ),
    ParameterType.TEXT_OR_JSON: ("stop", "tool_choice", "prompt_embeds"),
}
_TYPES = {name: kind for kind, names in _NAMES_BY_TYPE.items() for name in names}


def type_of(name: str, *, completions: bool = False) -> ParameterType:
    """Return the type of a parameter. `logprobs` is a number for completions and a switch for
    chats."""
    if name == "logprobs":
        return ParameterType.INTEGER if completions else ParameterType.BOOLEAN
    return _TYPES.get(name, ParameterType.TEXT)
