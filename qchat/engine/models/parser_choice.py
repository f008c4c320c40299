"""vLLM's parsers for a model, chosen from its chat template.

The template writes earlier answers of the model back into the prompt, so it shows the marks that
the model puts around its reasoning and its tool calls; a model's name says nothing about them. Pure
functions over the template's text: it is never rendered.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from ...i18n import _

# Parsers of vLLM 0.26 to 0.33 that read the same marks.
_SAME_TOOLS: tuple[frozenset[str], ...] = (
    frozenset({"qwen3_coder", "qwen3_xml"}),
    frozenset({"hermes", "qwen3_json"}),
    frozenset({"glm45", "glm47"}),
    frozenset({"llama3_json", "llama4_json"}),
)
_SAME_REASONING: tuple[frozenset[str], ...] = (frozenset({"glm45", "glm47"}),)


@dataclass(frozen=True, slots=True)
class ParserChoice:
    """The names of vLLM's parsers, None where the template has no such marks.

    `tool_mark` and `reasoning_mark` are the marks that decided, empty where a recipe did.
    `reasoning_unclear` says that the template cuts reasoning out of earlier answers without showing
    that the model writes any: what a recipe says counts then.
    """

    reasoning_parser: str | None = None
    tool_parser: str | None = None
    reasoning_mark: str = ""
    tool_mark: str = ""
    reasoning_unclear: bool = False

    def with_reasoning_of(self, reasoning_parser: str | None) -> "ParserChoice":
        """The choice with another's word on the reasoning, where the template's is unclear."""
        if not self.reasoning_unclear:
            return self
        return ParserChoice(
            reasoning_parser=reasoning_parser,
            tool_parser=self.tool_parser,
            tool_mark=self.tool_mark,
        )

    def options(self) -> dict[str, str]:
        """vLLM's options for these parsers by name."""
        options: dict[str, str] = {}
        if self.reasoning_parser is not None:
            options["reasoning-parser"] = self.reasoning_parser
        if self.tool_parser is not None:
            options |= {"tool-call-parser": self.tool_parser, "enable-auto-tool-choice": ""}
        return options

    def conflict(self, option: str, parser: str) -> str | None:
        """What is wrong with the `parser` that a person gave for vLLM's `option` (a name without
        dashes); None where it reads what the template writes, or the template says nothing."""
        if option == "tool-call-parser":
            chosen, mark, same = self.tool_parser, self.tool_mark, _SAME_TOOLS
        else:
            chosen, mark, same = self.reasoning_parser, self.reasoning_mark, _SAME_REASONING
        if chosen is None or parser == chosen or any({parser, chosen} <= names for names in same):
            return None
        text = _(
            "The model's chat template writes {mark}, which --{option} {chosen} reads; {parser}, "
            "which was given, may not."
        )
        if not mark:
            text = _("For this model --{option} {chosen} is right; {parser} was given.")
        return text.format(mark=mark, option=option, chosen=chosen, parser=parser)


@dataclass(frozen=True, slots=True)
class _Dialect:
    """A way to mark tool calls: the parser, the mark to name to a person, and the patterns that the
    template must match, all of them, and none of `but`.

    The text of a template may write a line break as ``\\n``. `reasoning` is the parser of the same
    family's reasoning, where the dialect alone decides it. `needs` is the added token without which
    the parser does not start. Each pattern takes linear time.
    """

    tool_parser: str
    mark: str
    patterns: tuple[str, ...]
    reasoning: str | None = None
    but: tuple[str, ...] = ()
    needs: str | None = None

    def matches(self, template: str, added_tokens: Collection[str]) -> bool:
        if self.needs is not None and added_tokens and self.needs not in added_tokens:
            return False

        def has(pattern: str) -> bool:
            return re.search(pattern, template) is not None

        return all(map(has, self.patterns)) and not any(map(has, self.but))


_BREAK = r"(?:\\n|\s)*"
_LLAMA3, _LLAMA4 = r"<\|start_header_id\|>", r"<\|header_start\|>"
_LLAMA_JSON, _PYTHONIC = r'"name": function name, "parameters":', r"\[func_name1\("
# The first that matches counts; the more specific stand before the more general.
_DIALECTS = (
    _Dialect("openai", "<|channel|>commentary", (r"<\|channel\|>",), "openai_gptoss"),
    _Dialect("deepseek_v41", "<｜DSML｜ calls>", ("｜DSML｜ calls",), "deepseek_v41"),
    _Dialect("deepseek_v4", "<｜DSML｜tool_calls>", ("｜DSML｜tool_calls",), "deepseek_v4"),
    _Dialect("deepseek_v32", "<｜DSML｜function_calls>", ("｜DSML｜",), "deepseek_v3"),
    _Dialect("deepseek_v3", "<｜tool▁call▁begin｜> with ```json", ("<｜tool▁call", "```json")),
    _Dialect("deepseek_v31", "<｜tool▁call▁begin｜>", ("<｜tool▁call",)),
    _Dialect("kimi_k3", "<|open|>tools", (r"<\|open\|>",), "kimi_k3"),
    _Dialect("kimi_k2", "<|tool_calls_section_begin|>", (r"<\|tool_calls_section_begin\|>",)),
    _Dialect("minimax_m3", "]<]minimax[>[<tool_call>", (r"\]<\]minimax\[>\[",), "minimax_m3"),
    _Dialect("minimax_m2", "<minimax:tool_call>", ("<minimax:tool_call>",)),
    _Dialect("seed_oss", "<seed:tool_call>", ("<seed:tool_call>",), "seed_oss"),
    _Dialect("longcat", "<longcat_tool_call>", ("<longcat_tool_call>",)),
    _Dialect("step3", "<｜tool_calls_begin｜>", ("<｜tool_calls_begin｜>",)),
    _Dialect("apertus", "<|tools_prefix|>", (r"<\|tools_prefix\|>",)),
    _Dialect("gigachat3", "function call<|role_sep|>", (r"function call<\|role_sep\|>",)),
    _Dialect("gigachat3", "<|function_call|>", (r"<\|function_call\|>", r"<\|message_sep\|>")),
    _Dialect("phi4_mini_json", "functools[", (r"functools\[",)),
    _Dialect("olmo3", "<function_calls>", ("<function_calls>", "<functions>")),
    _Dialect("gemma4", "<|tool_call>", (r"<\|tool_call>",)),
    _Dialect("functiongemma", "<start_function_call>", ("<start_function_call>",)),
    _Dialect("glm47", "<tool_call>NAME<arg_key>", (r"<tool_call>\{[\w-]+\}<arg_key>",)),
    # Poolside's and Hunyuan's models have <arg_key> too, each with a parser of its own.
    _Dialect(
        "glm45", "<tool_call>NAME and <arg_key>", ("<arg_key>",), but=("<assistant>", "<tool_calls")
    ),
    _Dialect("qwen3_coder", "<tool_call><function=", (rf"<tool_call>{_BREAK}<function=",)),
    _Dialect("granite", "<tool_call>[", (r"<\|start_of_role\|>", r"<\|?tool_call\|?>")),
    # As Hermes' calls, but the answer stands between marks too, which only its own parser removes.
    _Dialect(
        "ernie45",
        "<tool_call> and <response>",
        ("<response>", "<tool_call>", "</think>"),
        "ernie45",
    ),
    _Dialect("hermes", "JSON in <tool_call>", (rf"<tool_call>{_BREAK}\{{",)),
    _Dialect("hermes", "JSON in <tool_call>", ("(?:json|JSON) object[^<]{0,100}<tool_call>",)),
    _Dialect("mistral", "[TOOL_CALLS]", (r"\[TOOL_CALLS\]",)),
    _Dialect("llama4_pythonic", "[name(argument=value)]", (_LLAMA4, _PYTHONIC)),
    _Dialect(
        "llama4_json",
        '{"name": …, "parameters": …}',
        (_LLAMA4, _LLAMA_JSON),
        needs="<|python_tag|>",
    ),
    _Dialect("pythonic", "[name(argument=value)]", (_PYTHONIC,)),
    _Dialect(
        "llama3_json",
        '{"name": …, "parameters": …}',
        (_LLAMA3, _LLAMA_JSON),
        but=("<function=",),  # Functionary's own form
    ),
)


def choose_parsers(template: str, added_tokens: Collection[str] = ()) -> ParserChoice:
    """Choose the parsers for a chat template (all of a model's templates joined).

    `added_tokens` are the tokenizer's added tokens, empty where they are unknown; some models show
    their marks only there.
    """
    dialect = next((one for one in _DIALECTS if one.matches(template, added_tokens)), None)
    if dialect is not None and dialect.reasoning is not None:
        reasoning: str | None = dialect.reasoning
        mark, unclear = dialect.mark, False
    else:
        reasoning, mark, unclear = _reasoning(template)
    if dialect is not None:
        return ParserChoice(reasoning, dialect.tool_parser, mark, dialect.mark, unclear)
    if "<|tool_call_start|>" in added_tokens and "tool_list" in template:
        return ParserChoice(reasoning, "lfm2", mark, "<|tool_call_start|>", unclear)
    return ParserChoice(reasoning, None, mark, "", unclear)


def _reasoning(template: str) -> tuple[str | None, str, bool]:
    """The reasoning parser, its mark, and whether the template leaves it open."""
    if "<|channel>" in template:
        return "gemma4", "<|channel>", False
    if "[THINK]" in template:
        return "mistral", "[THINK]", False
    if "</think>" not in template and "<think>" not in template:
        return None, "", False
    mark = "<think>"
    if "｜Assistant｜" in template:
        if not _prompts_to_think(template):
            return None, "", True
        # V3.1 and later think on request; R1 always.
        switch = re.search(r"\b(?:if|not) thinking\b", template)
        return ("deepseek_v3" if switch else "deepseek_r1"), mark, False
    for sign, parser in (
        ("<|im_middle|>", "kimi_k2"),
        ("<minimax:tool_call>", "minimax_m2"),
        ("<arg_key>", "glm45"),
        ("[gMASK]", "glm45"),
        ("truncate_history_thinking", "nemotron_v3"),
    ):
        if sign in template:
            return parser, mark, False
    # With `qwen3`, vLLM takes all output of a model that does not think for reasoning, so a model
    # that only drops reasoning from the history is not enough.
    if "<|im_start|>" in template and _prompts_to_think(template):
        return "qwen3", mark, False
    return None, "", True


def _prompts_to_think(template: str) -> bool:
    """Whether thinking can be switched, or the prompt for an answer opens or closes it."""
    if re.search(r"\benable_thinking\b", template):
        return True
    _before, _sign, prompt = template.rpartition("add_generation_prompt")
    return "think>" in prompt
