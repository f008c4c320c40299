"""Numbers and units in the notation of siunitx: ``\\SI{9.8}{\\meter\\per\\second\\squared}``."""

import re
from collections.abc import Mapping
from typing import Final

from .chemistry import unit_source
from .lexer import Lexer
from .reader import Macro, Reader
from .symbols import command_symbol
from .tree import Node, Space, Symbol, Text, row

_PREFIXES: Final = {
    "femto": "f", "pico": "p", "nano": "n", "micro": "μ", "milli": "m", "centi": "c", "deci": "d",
    "deca": "da", "hecto": "h", "kilo": "k", "mega": "M", "giga": "G", "tera": "T", "peta": "P",
}  # fmt: skip
_UNITS: Final = {
    "meter": "m", "metre": "m", "second": "s", "gram": "g", "kilogram": "kg", "ampere": "A",
    "kelvin": "K", "mole": "mol", "candela": "cd", "hertz": "Hz", "newton": "N", "pascal": "Pa",
    "joule": "J", "watt": "W", "coulomb": "C", "volt": "V", "farad": "F", "ohm": "Ω",
    "siemens": "S", "weber": "Wb", "tesla": "T", "henry": "H", "lumen": "lm", "lux": "lx",
    "becquerel": "Bq", "gray": "Gy", "sievert": "Sv", "katal": "kat", "radian": "rad",
    "steradian": "sr", "celsius": "°C", "degreeCelsius": "°C", "degree": "°", "arcminute": "′",
    "arcsecond": "″", "minute": "min", "hour": "h", "day": "d", "liter": "L", "litre": "L",
    "tonne": "t", "hectare": "ha", "electronvolt": "eV", "dalton": "Da", "bar": "bar",
    "angstrom": "Å", "astronomicalunit": "au", "decibel": "dB", "bel": "B", "bit": "bit",
    "byte": "B", "percent": r"\%", "um": "μm", "us": "μs", "uF": "μF", "uA": "μA",
} | {
    name: name
    for name in """
    m km cm mm nm pm g kg mg s ms ns h Hz kHz MHz GHz mol kmol mmol N kN MN Pa kPa MPa GPa J kJ MJ
    W kW MW V mV kV A mA K eV keV MeV GeV L mL F pF nF C kWh dB rad
    """.split()  # noqa: SIM905
}  # fmt: skip
_POWERS: Final = {"square": "2", "cubic": "3"}
_POWERS_AFTER: Final = {"\\squared": "2", "\\cubed": "3"}
_SEPARATORS: Final = (".", "~", "*", "\\,", "\\cdot")
_CLOSE: Final = tuple(f"\\text{{{sign}}}" for sign in "°′″")  # right after a number
_LATEX: Final = ("mathrm", "text", "rm", "frac", ",", " ")
_after_command: Final = re.compile(r"(\\[A-Za-z]+)\s+").sub
_match_number: Final = re.compile(r"([^eEdD\\]*?)\s*(?:[eEdD]\s*([+-]?\d+))?\s*").fullmatch


def _number_source(source: str) -> str:
    """Return a number as LaTeX: ``1.2e-3`` has a power of ten, ``+-`` is an uncertainty."""
    match = _match_number(source)
    if match is None:
        return source
    number, exponent = match[1].replace("+-", r"\pm ").replace("x", r"\times "), match[2]
    if exponent is None:
        return number
    power = f"10^{{{exponent.lstrip('+')}}}"
    return f"{number}\\times {power}" if number.strip() else power


def _units_source(source: str) -> str | None:
    """Return units as LaTeX; None where one of siunitx's names is not known."""
    lexer = Lexer(source)
    names = {token[1:] for token in lexer.tokens if token[0] == "\\"}
    if not names & _UNITS.keys():  # written out: m/s^2
        is_known = all(name in _LATEX or command_symbol(name) for name in names)
        return unit_source(_after_command(r"\1{}", source)) if is_known else None
    units: list[str] = []
    prefix, sign, power = "", "", "1"
    while token := lexer.next():
        name = token[1:]
        if token.isspace() or token in _SEPARATORS:
            continue
        if token == "/" or name == "per":
            sign = "-"
        elif name in _PREFIXES:
            prefix = _PREFIXES[name]
        elif name in _POWERS:
            power = _POWERS[name]
        elif name in _UNITS:
            power = _power_after(lexer) or power
            script = f"^{{{sign}{power}}}" if sign + power != "1" else ""
            units.append(f"\\text{{{prefix}{_UNITS[name]}}}{script}")
            prefix, sign, power = "", "", "1"
        else:
            return None
    return "\\ ".join(units)


def _power_after(lexer: Lexer) -> str:
    """Read the power after a unit and return it, '' without one."""
    if lexer.accept("\\tothe"):
        return lexer.raw_group()
    return next((power for name, power in _POWERS_AFTER.items() if lexer.accept(name)), "")


def quantity(reader: Reader, command: str, numbers: list[str], units: str) -> Node:
    """Return a number, or the two ends of a range, with units; with unknown ones their source."""
    source = _units_source(units)
    if source is None:
        arguments = "".join(f"{{{argument}}}" for argument in (*numbers, units))
        return Symbol(f"\\{command}{arguments}")
    items: list[Node] = []
    for number in numbers:
        items += [*([Text("–")] if items else []), reader.nested(_number_source(number))]
    if source:
        is_apart = bool(numbers) and not source.startswith(_CLOSE)
        items += [*([Space(1)] if is_apart else []), reader.nested(source)]
    return row(items)


def _macro(command: str, *, numbers: int, has_units: bool) -> Macro:
    def macro(reader: Reader) -> Node:
        reader.lexer.skip_options()
        values = [reader.lexer.raw_group() for _number in range(numbers)]
        reader.lexer.skip_options()
        units = reader.lexer.raw_group() if has_units else ""
        return quantity(reader, command, values, units)

    return macro


def _angle(reader: Reader) -> Node:
    reader.lexer.skip_options()
    parts = zip(reader.lexer.raw_group().split(";"), "°′″", strict=False)
    return reader.nested("".join(number.strip() + sign for number, sign in parts if number.strip()))


UNITS: Final[Mapping[str, Macro]] = {
    "SI": _macro("SI", numbers=1, has_units=True),
    **{name: _macro(name, numbers=2, has_units=True) for name in ("SIrange", "qtyrange")},
    **{name: _macro(name, numbers=0, has_units=True) for name in ("si", "unit")},
    "num": _macro("num", numbers=1, has_units=False),
    "numrange": _macro("numrange", numbers=2, has_units=False),
    "ang": _angle,
}
"""Macros by the names of their commands; ``\\qty`` is the physics package's, too."""
