"""The recipes of github.com/vllm-project/recipes: their form, a YAML file per model, to ours.

They say which weights there are, how much memory each needs, which parsers and options fit; they do
not say how large the KV cache of a token is. That comes from the recipe of the same name here, else
it is an estimate on the safe side: on a GPU vLLM measures it anyway.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ...i18n import _
from .catalog import bundled_recipes
from .recipe_fields import OPTIONS, RecipeError
from .recipe_types import Precision, Recipe, Variant

_OVERHEAD = 1.2  # the source's minimum memory over the weights
_GB, _MIB = 1e9, 1 << 20
_LARGE_B = 20.0  # billions of parameters
# Bytes of KV cache a token: more than most models of today have.
_KV_LARGE, _KV_SMALL = 256 << 10, 160 << 10
_VALUE = re.compile(r"[A-Za-z0-9_.:-]{0,64}")
_UNITS = {"T": 1000.0, "B": 1.0, "M": 0.001}


class NotTextError(RecipeError):
    """A model that writes no text, such as one for speech or images."""


def convert(document: Any, source: str) -> dict[str, Any]:
    """The table of our form for one file's `document`, still to be checked.

    Raises `NotTextError` for a model that writes no text, and `RecipeError` for a file that lacks
    what a recipe needs.
    """
    model, meta = _table(document, "model"), _table(document, "meta")
    if "text" not in _list(meta.get("tasks")):
        raise NotTextError(_("not a model for text"))
    model_id = str(model.get("model_id"))
    name = model_id.rpartition("/")[2]
    known = next((one for one in bundled_recipes() if one.name.lower() == name.lower()), None)
    features = document.get("features") if isinstance(document.get("features"), dict) else {}
    reasoning = _argument(features, "reasoning", "--reasoning-parser")
    table: dict[str, Any] = {
        "name": name,
        "mode": known.mode if known else "hybrid" if reasoning else "instruct",
        "context": model.get("context_length"),
        "active_b": _billions(model.get("active_parameters") or model.get("parameter_count")),
        "source": source,
        "date": str(meta.get("date_updated") or meta.get("date_added")),
        "variants": _variants(document, model_id, known),
        **_shape(known, _billions(model.get("parameter_count"))),
    }
    parsers = {
        "reasoning_parser": reasoning or (known.reasoning_parser if known else None),
        "tool_parser": _argument(features, "tool_calling", "--tool-call-parser"),
    }
    table |= {field: parser for field, parser in parsers.items() if parser is not None}
    options = _options(model.get("base_args")) | {
        option: value
        for option, value in _options(_feature(features, "tool_calling")).items()
        if option == "tokenizer-mode"
    }
    if options:
        table["options"] = options
    version = str(model.get("min_vllm_version", ""))
    if re.fullmatch(r"\d+\.\d+(\.\d+)?", version):
        table["min_vllm"] = version
    return table


def _shape(known: Recipe | None, parameters: float) -> dict[str, Any]:
    if known is None:
        kv_bytes = _KV_LARGE if parameters > _LARGE_B else _KV_SMALL
        shape: dict[str, Any] = {"layers": 1, "kv_heads": 1, "head_dim": 1}
        return shape | {"kv_token_bytes": kv_bytes, "shape_source": "an estimate of qchat's"}
    fields = ("layers", "kv_heads", "head_dim", "heads", "kv_layers", "kv_token_bytes", "preset")
    values = {field: getattr(known, field) for field in (*fields, "fixed_mib", "preference")}
    if known.index_token_bytes:
        values["index_token_bytes"] = known.index_token_bytes
    values["shape_source"] = known.shape_source
    values["yarn"] = asdict(known.yarn) if known.yarn else None
    return {field: value for field, value in values.items() if value is not None}


def _variants(document: Any, model_id: str, known: Recipe | None) -> dict[str, Any]:
    stated = document.get("variants")
    variants: dict[str, Any] = {}
    for variant in stated.values() if isinstance(stated, dict) else ():
        if not isinstance(variant, dict):
            continue
        precision = variant.get("precision")
        memory = variant.get("vram_minimum_gb")
        usable = isinstance(memory, int | float) and math.isfinite(memory) and memory >= 1
        if precision not in tuple(Precision) or precision in variants or not usable:
            continue
        variants[precision] = _variant(variant, str(variant.get("model_id") or model_id), known)
    if not variants:
        raise RecipeError(_("no weights in a precision that is known here"))
    if known is not None:  # what the source does not mention stays
        for precision, variant in known.variants.items():
            variants.setdefault(precision.value, _known_variant(variant))
    return variants


def _known_variant(variant: Variant) -> dict[str, Any]:
    values = {
        "model": variant.model,
        "weights_mib": variant.weights_mib,
        "most_gpus": variant.most_gpus,
        "basis": variant.basis,
        "minimum_gb": variant.minimum_gb,
        "capability": list(variant.capability) if variant.capability else None,
        "options": dict(variant.options),
    }
    return {field: value for field, value in values.items() if value is not None}


def _variant(variant: Mapping[str, Any], model: str, known: Recipe | None) -> dict[str, Any]:
    memory = variant["vram_minimum_gb"]
    same = _same_weights(model, known)
    table: dict[str, Any] = {
        "model": model,
        "weights_mib": same.weights_mib if same else math.ceil(memory * _GB / _OVERHEAD / _MIB),
        "most_gpus": same.most_gpus if same else 8,
        "basis": same.basis if same else "minimum",
        "minimum_gb": math.ceil(memory),
    }
    if variant["precision"] == Precision.NVFP4:
        table["capability"] = [10, 0]
    if options := _options(variant.get("extra_args")):
        table["options"] = options
    return table


def _same_weights(model: str, known: Recipe | None) -> Variant | None:
    variants = known.variants.values() if known else ()
    return next((one for one in variants if one.model.lower() == model.lower()), None)


def _options(arguments: Any) -> dict[str, str]:
    """The options among vLLM's arguments that a recipe may give."""
    options: dict[str, str] = {}
    texts = [str(one) for one in _list(arguments)]
    for place, text in enumerate(texts):
        name, has_value, value = text.partition("=")
        name = name.removeprefix("--").replace("_", "-")
        following = texts[place + 1] if place + 1 < len(texts) else "--"
        if not has_value and not following.startswith("--"):
            value = following
        if text.startswith("--") and name in OPTIONS and _VALUE.fullmatch(value):
            options[name] = value
    return options


def _feature(features: Mapping[str, Any], name: str) -> Any:
    feature = features.get(name)
    return feature.get("args") if isinstance(feature, dict) else None


def _argument(features: Mapping[str, Any], feature: str, option: str) -> str | None:
    arguments = [str(one) for one in _list(_feature(features, feature))]
    if option not in arguments[:-1]:
        return None
    return arguments[arguments.index(option) + 1]


def _table(document: Any, name: str) -> Mapping[str, Any]:
    value = document.get(name) if isinstance(document, dict) else None
    if not isinstance(value, dict):
        raise RecipeError(f"no {name}")
    return value


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _billions(text: Any) -> float:
    match = re.match(r"([\d.]{1,12})\s*([TBM])", str(text))
    try:
        return float(match[1]) * _UNITS[match[2]] if match else 1.0
    except ValueError as error:
        raise RecipeError(_("no number of parameters: {text}").format(text=text)) from error
