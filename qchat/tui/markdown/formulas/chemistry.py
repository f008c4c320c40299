r"""Chemical equations and units in the notation of mhchem: ``\ce{2H2 + O2 -> 2H2O}``."""

import re
from typing import Final

from .symbols import command_symbol
from .tree import Kind

_ARROWS: Final = {
    "<=>>": r"\xrightequilibrium", "<<=>": r"\xleftequilibrium", "<=>": r"\xrightleftharpoons",
    "<-->": r"\xleftrightarrow", "<->": r"\xleftrightarrow", "->": r"\xrightarrow",
    "<-": r"\xleftarrow", "==": r"\xlongequal", "=": r"\xlongequal",
}  # fmt: skip
_BONDS: Final = {"-": "-", "=": "=", "#": r"\equiv"}
_token = re.compile(
    r"(?P<arrow><=>>|<<=>|<=>|<-->|<->|->|<-|==|=(?=\[))"
    r"(?P<above>\[[^\]]*\])?(?P<below>\[[^\]]*\])?"
    r"|(?P<space>\s+)"
    r"|(?P<isotope>\^\{?(?P<mass>\d+|[A-Za-z]+)\}?_\{?(?P<charge_number>-?\d+)\}?)"
    r"|\^(?P<charge>\{[^}]*\}|[.*]?\d*[.*n]?[+-]|[.*]|\d+|[A-Za-z]+)|_(?P<index>\{[^}]*\}|\w)"
    r"|(?P<radical>[.*][+-](?=$|[\s)\]}]))"
    r"|(?P<escape>\((?P<sign>[v^])\))"
    r"|(?P<math>\$[^$]*\$)"
    r"|(?P<latex>\\(?:ce|text[a-z]*|mathrm|mbox|[dt]?frac)(?:\{[^{}]*\})+)"
    r"|(?P<command>\\[A-Za-z]+|\\.)"
    r"|(?P<count>(?<=[A-Za-z)\]}])\d+)|(?P<amount>\d+(?:[./]\d+)?)"
    r"|(?P<element>[A-Z][a-z]?)|(?P<other>.)",
    re.DOTALL,
).finditer
_ends_formula: Final = re.compile(r"[)\]},+_/;|]|\((?:aq|s|l|g|cr|am|sln|conc)\)|<?-+>|<=").match
_has_formula: Final = re.compile(r"[\d^_+-]").search
_unit_part = re.compile(
    r"(?P<number>[+-]?\d+(?:[.,]\d+)*)(?:[eE](?P<exponent>[+-]?\d+))?"
    r"|(?P<unit>[A-Za-zµμΩÅ°℃%]+)(?:\^?\{?(?P<power>[+-]?\d+)\}?)?"
    r"|(?P<times>[*.])|(?P<space>\s+)|(?P<command>\\[A-Za-z]+|\\.)|(?P<other>.)",
    re.DOTALL,
).finditer


def formula_source(source: str, space: str = " ") -> str:
    """Return a chemical equation as LaTeX, `space` for each space in it.

    Digits after an element or a bracket are indices, those before one are amounts; a sign at the
    end of a formula is its charge; ``v`` and ``^`` that stand alone mean a precipitate and a gas.
    """
    out: list[str] = []
    attached = False  # whether an element or a bracket stands directly before
    for match in _token(source):
        kind = match.lastgroup or ""
        text = match[0]
        rest = source[match.end() :]
        ends = not rest or rest[0].isspace()
        if match["arrow"]:
            out.append(_arrow(match))
            attached = False
        elif match["space"]:
            out.append(space)
            attached = False
        elif match["isotope"]:
            out += [] if attached else ["{}"]
            out.append(f"^{{{match['mass']}}}_{{{match['charge_number']}}}")
        elif match["charge"] is not None:
            out += _own_base(out)
            out.append(_charge(match["charge"].strip("{}")))
        elif match["index"] is not None:
            out += _own_base(out)
            out.append(f"_{{{match['index'].strip('{}')}}}")
        elif match["radical"]:
            out.append(_charge(text))
        elif match["escape"]:
            out.append(_escape(match["sign"]))
        elif match["math"]:
            out.append(f"{{{text[1:-1]}}}")
        elif match["latex"]:
            out.append(text)
            attached = True
        elif match["count"] or match["amount"]:
            out.append(f"_{{{text}}}" if attached else text)
        elif match["element"]:
            out.append(f"\\mathrm{{{text}}}")
            attached = True
        elif text in "+-" and attached and (ends or _ends_formula(rest)):
            out.append(_charge(text))
            attached = False
        elif ends and (text == "^" or (text == "v" and not attached)):
            out.append(_escape(text))
        elif text in ".*·":
            out.append("\\mathord{\\cdot}")
            attached = False
        else:
            bond = _BONDS.get(text) if attached and not ends else None
            out.append(f"\\mathord{{{bond}}}" if bond else text)
            attached = text in ")]}" or text.isalpha() or (kind == "command" and _is_letter(text))
    return "".join(out)


def unit_source(source: str) -> str:
    r"""Return a number with its unit, the argument of ``\pu``, as LaTeX."""
    out: list[str] = []
    for match in _unit_part(source):
        if match["number"]:
            out.append(match["number"])
            if match["exponent"]:
                out.append(f"\\times 10^{{{match['exponent'].lstrip('+')}}}")
        elif match["unit"]:
            out.append("\\text{" + match["unit"].replace("%", "\\%") + "}")
            if match["power"]:
                out.append(f"^{{{match['power']}}}")
        elif match["space"]:
            out.append("\\ ")
        else:
            out.append("\\mathord{\\cdot}" if match["times"] else match[0])
    return "".join(out)


def _arrow(match: "re.Match[str]") -> str:
    command = _ARROWS[match["arrow"]]
    above, below = (_label((match[side] or "[]")[1:-1]) for side in ("above", "below"))
    option = f"[{below}]" if below else ""
    return f" {command}{option}{{{above}}} "


def _label(source: str) -> str:
    """Return what stands at an arrow as LaTeX: a formula, or words."""
    if _has_formula(source):
        return formula_source(source, "\\ ")
    return f"\\text{{{source}}}" if source else ""


def _charge(source: str) -> str:
    """Return a charge as a superscript; a dot in it is an electron without a partner."""
    return "^{" + re.sub(r"[.*]", r"\\mathord{\\bullet}", source) + "}"


def _own_base(out: list[str]) -> list[str]:
    """Return the empty base of a script that stands before its element: without it, the script
    would belong to the arrow, the sign or the amount before."""
    before = out[-1][-1:] if out else ""
    return ["{}"] if before in (" ", "+") or before.isdigit() else []


def _escape(sign: str) -> str:
    """Return the arrow of a precipitate (v) or a gas (^)."""
    return "\\mathord{\\downarrow}" if sign == "v" else "\\mathord{\\uparrow}"


def _is_letter(command: str) -> bool:
    atom = command_symbol(command[1:])
    return atom is not None and atom.kind is Kind.ORDINARY
