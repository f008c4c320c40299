"""How models of today mark reasoning and tool calls: a fragment of a chat template in each one's
form, the parsers that read it, and an answer of the model.

The fragments were written for the tests after the published templates; every answer calls
``get_weather(city="Paris", days=2)``.
"""

from dataclasses import dataclass

ARGUMENTS = {"city": "Paris", "days": 2}
JSON_ARGUMENTS = '{"city": "Paris", "days": 2}'
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        },
    },
}


@dataclass(frozen=True)
class Dialect:
    """A family: its template, the parsers' names, and an answer with a tool call."""

    name: str
    template: str
    reasoning: str | None
    tools: str | None
    answer: str = ""
    added_tokens: frozenset[str] = frozenset()


_CHATML = "{{- '<|im_start|>' + message.role }}"
_PROMPT = "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
_SWITCH = "{%- if enable_thinking is defined and enable_thinking is false %}<think>\\n\\n</think>"
_HISTORY = "{%- if '</think>' in content %}{%- set content = content.split('</think>')[-1] %}"
_JSON_CALL = '<tool_call>\\n{\\"name\\": <function-name>, \\"arguments\\": <args-json-object>}'
_XML_CALL = "<tool_call>\\n<function=example_function_name>\\n<parameter=example_parameter_1>"
_DEEPSEEK = "{{'<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>' + tool['type'] + '<｜tool▁sep｜>' }}"
_LLAMA = 'Respond in the format {"name": function name, "parameters": dictionary of argument name'

HERMES_ANSWER = (
    f'<tool_call>\n{{"name": "get_weather", "arguments": {JSON_ARGUMENTS}}}\n</tool_call>'
)
XML_ANSWER = (
    "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n"
    "<parameter=days>\n2\n</parameter>\n</function>\n</tool_call>"
)
_LLAMA_ANSWER = f'{{"name": "get_weather", "parameters": {JSON_ARGUMENTS}}}'
_PYTHONIC_ANSWER = '[get_weather(city="Paris", days=2)]'


def _dsml(section: str) -> str:
    mark = "｜DSML｜"
    return (
        f'<{mark}{section}>\n<{mark}invoke name="get_weather">\n'
        f'<{mark}parameter name="city" string="true">Paris</{mark}parameter>\n'
        f'<{mark}parameter name="days" string="false">2</{mark}parameter>\n'
        f"</{mark}invoke>\n</{mark}{section}>"
    )


DIALECTS = (
    Dialect(
        "Qwen3",
        _CHATML + _JSON_CALL + _HISTORY + _PROMPT + _SWITCH,
        "qwen3",
        "hermes",
        HERMES_ANSWER,
    ),
    Dialect("Qwen3-Instruct-2507", _CHATML + _JSON_CALL + _PROMPT, None, "hermes", HERMES_ANSWER),
    Dialect(
        "an instruct model that drops reasoning from the history",
        _CHATML + _JSON_CALL + _HISTORY + _PROMPT,
        None,
        "hermes",
        HERMES_ANSWER,
    ),
    Dialect(
        "Qwen3-Thinking-2507",
        _CHATML + _JSON_CALL + _HISTORY + _PROMPT + "<think>\\n",
        "qwen3",
        "hermes",
        HERMES_ANSWER,
    ),
    Dialect("Qwen3-Coder", _CHATML + _XML_CALL + _PROMPT, None, "qwen3_coder", XML_ANSWER),
    Dialect(
        "Qwen3.5",
        _CHATML + _XML_CALL + _HISTORY + _PROMPT + _SWITCH,
        "qwen3",
        "qwen3_coder",
        XML_ANSWER,
    ),
    Dialect(
        "a template with real line breaks",
        _CHATML + _XML_CALL.replace("\\n", "\n") + _PROMPT,
        None,
        "qwen3_coder",
        XML_ANSWER,
    ),
    Dialect(
        "Hermes",
        "return a json object with function name and arguments within <tool_call></tool_call>",
        None,
        "hermes",
        HERMES_ANSWER,
    ),
    Dialect(
        "Nemotron 3",
        _CHATML + _XML_CALL + "{%- if truncate_history_thinking %}</think>" + _PROMPT + _SWITCH,
        "nemotron_v3",
        "qwen3_coder",
        XML_ANSWER,
    ),
    Dialect(
        "gpt-oss",
        '{{- "<|start|>assistant<|channel|>analysis<|message|>" + message.thinking }}',
        "openai_gptoss",
        "openai",
    ),
    Dialect(
        "DeepSeek R1",
        _DEEPSEEK
        + "```json"
        + _HISTORY
        + "{% if add_generation_prompt %}<｜Assistant｜><think>\\n",
        "deepseek_r1",
        "deepseek_v3",
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n"
        f"{JSON_ARGUMENTS}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    ),
    Dialect(
        "DeepSeek V3",
        _DEEPSEEK + "```json{% if add_generation_prompt %}<｜Assistant｜>",
        None,
        "deepseek_v3",
    ),
    Dialect(
        "DeepSeek V3.1",
        _DEEPSEEK
        + "{% if add_generation_prompt %}<｜Assistant｜>{% if not thinking %}<think></think>",
        "deepseek_v3",
        "deepseek_v31",
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>"
        f"{JSON_ARGUMENTS}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    ),
    Dialect(
        "DeepSeek V3.2",
        "{{ dsml + '<｜DSML｜function_calls>' }}",
        "deepseek_v3",
        "deepseek_v32",
        _dsml("function_calls"),
    ),
    Dialect(
        "DeepSeek V4", "<｜DSML｜tool_calls>", "deepseek_v4", "deepseek_v4", _dsml("tool_calls")
    ),
    Dialect(
        "Kimi K2",
        "<|im_assistant|>assistant<|im_middle|><|tool_calls_section_begin|>",
        None,
        "kimi_k2",
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0"
        f"<|tool_call_argument_begin|>{JSON_ARGUMENTS}<|tool_call_end|><|tool_calls_section_end|>",
    ),
    Dialect(
        "Kimi K2 Thinking",
        "<|im_assistant|>assistant<|im_middle|><think></think><|tool_calls_section_begin|>",
        "kimi_k2",
        "kimi_k2",
    ),
    Dialect("Kimi K3", "<|open|>message<|sep|>", "kimi_k3", "kimi_k3"),
    Dialect(
        "GLM 4.5",
        "[gMASK]<sop><tool_call>{function-name}\n<arg_key>{arg-key-1}</arg_key>" + _HISTORY,
        "glm45",
        "glm45",
        "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n"
        "<arg_key>days</arg_key>\n<arg_value>2</arg_value>\n</tool_call>",
    ),
    Dialect(
        "GLM 4.7",
        "[gMASK]<sop><tool_call>{function-name}<arg_key>{arg-key-1}</arg_key>" + _HISTORY,
        "glm45",
        "glm47",
        "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Paris</arg_value>"
        "<arg_key>days</arg_key><arg_value>2</arg_value></tool_call>",
    ),
    Dialect(
        "MiniMax M2",
        "{%- set toolcall_begin_token = '<minimax:tool_call>' -%}" + _HISTORY,
        "minimax_m2",
        "minimax_m2",
        '<minimax:tool_call>\n<invoke name="get_weather">\n'
        '<parameter name="city">Paris</parameter>\n<parameter name="days">2</parameter>\n'
        "</invoke>\n</minimax:tool_call>",
    ),
    Dialect(
        "Llama 3",
        "<|start_header_id|>system<|end_header_id|>" + _LLAMA,
        None,
        "llama3_json",
        _LLAMA_ANSWER,
    ),
    Dialect(
        "Llama 4",
        "<|header_start|>system<|header_end|>" + _LLAMA,
        None,
        "llama4_json",
        _LLAMA_ANSWER,
    ),
    Dialect(
        "Llama 4 whose tokenizer lacks the token that the parser needs",
        "<|header_start|>system<|header_end|>" + _LLAMA,
        None,
        None,
        added_tokens=frozenset({"<|python_start|>"}),
    ),
    Dialect(
        "Llama 4, pythonic",
        "<|header_start|>system<|header_end|>[func_name1(params_name1=params_value1)]",
        None,
        "llama4_pythonic",
        _PYTHONIC_ANSWER,
    ),
    Dialect(
        "Llama 3, pythonic",
        "<|start_header_id|>system<|end_header_id|>[func_name1(params_name1=params_value1)]",
        None,
        "pythonic",
        _PYTHONIC_ANSWER,
    ),
    Dialect(
        "Mistral",
        "{{- '[TOOL_CALLS]' + tool_calls }}",
        None,
        "mistral",
        f'[TOOL_CALLS] [{{"name": "get_weather", "arguments": {JSON_ARGUMENTS}}}]',
    ),
    Dialect(
        "Magistral", "{{- '[THINK]' + thinking + '[/THINK][TOOL_CALLS]' }}", "mistral", "mistral"
    ),
    Dialect("Gemma 3", "<start_of_turn>model\n", None, None),
    Dialect(
        "Gemma 4",
        "<|turn>model\n<|channel>thought<channel|>{{- '<|tool_call>call:' + name }}",
        "gemma4",
        "gemma4",
        '<|tool_call>call:get_weather{city:<|"|>Paris<|"|>,days:2}<tool_call|>',
    ),
    Dialect(
        "LFM2",
        _CHATML + "<|tool_list_start|>" + _PROMPT,
        None,
        "lfm2",
        f"<|tool_call_start|>{_PYTHONIC_ANSWER}<|tool_call_end|>",
        frozenset({"<|tool_call_start|>", "<|tool_call_end|>"}),
    ),
    Dialect(
        "LongCat",
        "<longcat_s>SYSTEM:{{ '<longcat_tool_call>' }}",
        None,
        "longcat",
        HERMES_ANSWER.replace("tool_call>", "longcat_tool_call>"),
    ),
    Dialect(
        "Step 3",
        "{{ '<｜tool_calls_begin｜>' }}{{ '<｜tool_call_begin｜>function<｜tool_sep｜>' }}",
        None,
        "step3",
        "<｜tool_calls_begin｜><｜tool_call_begin｜>function<｜tool_sep｜>"
        '<steptml:invoke name="get_weather"><steptml:parameter name="city">Paris'
        '</steptml:parameter><steptml:parameter name="days">2</steptml:parameter>'
        "</steptml:invoke><｜tool_call_end｜><｜tool_calls_end｜>",
    ),
    Dialect(
        "Apertus",
        "{{ '<|assistant_start|>' }}{{ '<|tools_prefix|>[' }}",
        None,
        "apertus",
        f'<|tools_prefix|>[{{"get_weather": {JSON_ARGUMENTS}}}]<|tools_suffix|>',
    ),
    Dialect(
        "GigaChat 3",
        "{{ 'function call<|role_sep|>\\n' + call }}<|message_sep|>",
        None,
        "gigachat3",
        f'function call<|role_sep|>\n{{"name": "get_weather", "arguments": {JSON_ARGUMENTS}}}',
    ),
    Dialect(
        "Phi 4 Mini, as vLLM's own template has it",
        '<|system|>{{ tools }} Respond with functools[{"name": …}]<|end|>',
        None,
        "phi4_mini_json",
        f'functools[{{"name": "get_weather", "arguments": {JSON_ARGUMENTS}}}]',
    ),
    Dialect(
        "Olmo 3",
        _CHATML + "<functions></functions>{{ '<function_calls>' + calls }}" + _PROMPT,
        None,
        "olmo3",
        '<function_calls>get_weather(city="Paris", days=2)</function_calls>',
    ),
    Dialect(
        "ERNIE 4.5",
        _CHATML + "<tool_call>\n{...}\n</tool_call><response>" + _HISTORY + _PROMPT + "<think>",
        "ernie45",
        "ernie45",
        HERMES_ANSWER,
    ),
    Dialect(
        "a tool's answer is no mark of ERNIE's",
        _CHATML + _JSON_CALL + "<tool_response>" + _HISTORY + _PROMPT,
        None,
        "hermes",
        HERMES_ANSWER,
    ),
    Dialect("a plain template", _CHATML + _PROMPT, None, None),
    Dialect("nothing", "", None, None),
)
