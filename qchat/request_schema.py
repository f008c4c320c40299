"""The parameters of a request, as vLLM's server names them.

Source: the classes `ChatCompletionRequest` and `CompletionRequest` of vLLM 0.32.0
(vllm/entrypoints/openai/{chat_completion,completion}/protocol.py), without what the command sets
itself: messages, prompt, stream and stream_options. tests/e2e/test_request_schema.py compares
them to the vLLM that is installed.
"""

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
