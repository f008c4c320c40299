"""Click's own words (Usage, Options, errors, …) in the language of the process.

Click takes `gettext` and `ngettext` by name when it is imported, and these follow the locale alone
and know no catalogue of qchat's. So the names in click's modules are replaced; there is no other
way in; the same is done with the names of its number types. Where click has no such names any
more, its words stay English.
"""

import sys

from click import exceptions, types

from . import i18n
from .i18n import _

_click_missing_parameter = exceptions.MissingParameter.format_message


def _missing_parameter(error: exceptions.MissingParameter) -> str:
    """Click's message; its full stop does not go through its translation."""
    text = _click_missing_parameter(error)
    return text.removesuffix(".") + _(".") if text.endswith(".") else text


def install() -> None:
    """Replace the translation of click's modules; English needs none."""
    if i18n.language() == i18n.ENGLISH:
        return
    for name, module in list(sys.modules.items()):
        if name.startswith("click."):
            for attribute, function in (("_", i18n._), ("ngettext", i18n.plural)):
                if attribute in vars(module):
                    setattr(module, attribute, function)
    # By name, since mypy takes it for an attribute of the instance.
    setattr(exceptions.MissingParameter, "format_message", _missing_parameter)  # noqa: B010
    numbers = {"Int": _("integer"), "Float": _("number")}
    for prefix, number in numbers.items():
        for suffix in ("ParamType", "Range"):
            if (kind := getattr(types, prefix + suffix, None)) is not None:
                kind.name = number
