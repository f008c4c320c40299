"""Names of models: what a name says of family, version and size, and which model it may mean."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches

_SIZE = re.compile(r"[ae]?\d+(\.\d+)?[bmt]|\d+x\d+b|\d+e")
_VERSIONED = re.compile(r"([a-z]*?)(v?\d+(?:\.\d+)*)([a-z]?)")
_MOST = 3  # suggestions
_SIMILAR = 0.75  # of a family's name, such as quen and qwen

# The hub's organisation of a family.
_ORGANISATIONS: Mapping[str, str] = {
    "qwen": "Qwen",
    "qwq": "Qwen",
    "gpt-oss": "openai",
    "glm": "zai-org",
    "deepseek": "deepseek-ai",
    "kimi": "moonshotai",
    "moonlight": "moonshotai",
    "minimax": "MiniMaxAI",
    "llama": "meta-llama",
    "gemma": "google",
    "mistral": "mistralai",
    "ministral": "mistralai",
    "magistral": "mistralai",
    "devstral": "mistralai",
    "mixtral": "mistralai",
    "phi": "microsoft",
    "nemotron": "nvidia",
    "granite": "ibm-granite",
    "olmo": "allenai",
    "smollm": "HuggingFaceTB",
    "ernie": "baidu",
    "step": "stepfun-ai",
    "hunyuan": "tencent",
    "mimo": "XiaomiMiMo",
    "lfm": "LiquidAI",
    "falcon": "tiiuae",
    "internlm": "internlm",
    "seed-oss": "ByteDance-Seed",
}


@dataclass(frozen=True, slots=True)
class ModelName:
    """The parts of a name, in lower case: ``Qwen3.6-35B-A3B-FP8`` has the family ``qwen``, the
    version ``3.6``, the sizes ``35b`` and ``a3b`` and the word ``fp8``."""

    family: str
    version: str
    sizes: tuple[str, ...]
    words: tuple[str, ...]


def parse_name(name: str) -> ModelName:
    """The parts of a model's name, with or without its organisation."""
    family: list[str] = []
    version, sizes, words = "", [], []
    for token in re.split(r"[-_ ]+", name.lower().rpartition("/")[2]):
        match = _VERSIONED.fullmatch(token)
        if _SIZE.fullmatch(token):
            sizes.append(token)
        elif match is not None and not version and not sizes:
            family += [match[1]] if match[1] and not family else []
            series = match[1] if family and match[1] != family[0] else ""  # K of Kimi-K2
            version = series + match[2].removeprefix("v") + match[3]
        elif version or sizes or len(family) > 1:
            words.append(token)
        elif token:
            family.append(token)
    return ModelName("-".join(family), version, tuple(sizes), tuple(words))


def hub_id(name: str) -> str | None:
    """The id under which the hub would have a model of this name; None where the family is unknown
    or the name says neither version nor size."""
    parts = parse_name(name)
    known = next((one for one in _ORGANISATIONS if parts.family == one), None)
    known = known or next((one for one in _ORGANISATIONS if parts.family.startswith(one)), None)
    if "/" in name or known is None or not (parts.version or parts.sizes):
        return None
    return f"{_ORGANISATIONS[known]}/{name}"


def nearest_names(name: str, known: Iterable[str]) -> list[str]:
    """Suggest up to three of the `known` names for an unknown one.

    Those that begin with it; else those of the same family and version, the most similar first: of
    another version is another model.
    """
    last = name.lower().rpartition("/")[2]
    by_lower = {one.lower(): one for one in known}
    # Not "qwen3" of "qwen3.6": a number ends where it ends.
    beginning = re.compile(re.escape(last) + (r"(?![\d.])" if last[-1:].isdigit() else ""))
    prefixed = [one for lower, one in by_lower.items() if last and beginning.match(lower)]
    if prefixed:
        return prefixed[:_MOST]
    wanted = parse_name(name)
    if not (wanted.version or wanted.sizes):
        return [by_lower[match] for match in get_close_matches(last, by_lower, _MOST, 0.7)]
    relatives = [lower for lower, one in by_lower.items() if _is_relative(wanted, parse_name(one))]
    close = next(filter(None, (get_close_matches(last, relatives, 3, c) for c in (0.85, 0.7))), [])
    return [by_lower[match] for match in close]


def _is_relative(wanted: ModelName, other: ModelName) -> bool:
    if wanted.version and wanted.version != other.version:
        return False
    return SequenceMatcher(None, wanted.family, other.family).ratio() >= _SIMILAR
