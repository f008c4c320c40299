"""The options of the command line that make templates."""

import re
from dataclasses import dataclass
from pathlib import Path

from ...errors import UsageError
from ...i18n import _
from .template import RowTemplate, Template

MAX_FILE = 1 << 20
"""Bytes of a template's file."""

_COLUMN = re.compile(r"\{[^\W\d]\w*\}")


@dataclass(frozen=True, slots=True)
class TemplateOptions:
    """`--template`, `--jinja`, `--template-file` and `--messages-template` as they were given."""

    template: str | None = None
    jinja: bool = False
    template_file: str | None = None
    messages_template: str | None = None


def row_template(options: TemplateOptions, *, may_be_fixed: bool = False) -> RowTemplate | None:
    """Return the template, if one is given. Raises `UsageError` for two, for a bad one, and for one
    that asks every row the same, unless it `may_be_fixed`, as other options tell rows apart."""
    names = {
        "--template": options.template,
        "--template-file": options.template_file,
        "--messages-template": options.messages_template,
    }
    given = [name for name, value in names.items() if value is not None]
    if len(given) > 1:
        raise UsageError(_("Give one of {names}.").format(names=", ".join(given)))
    if options.jinja and options.template is None:
        raise UsageError(_("--jinja says how --template is written; give that too."))
    if options.template is not None and not options.jinja:
        return Template.parse(options.template)
    if not given:
        return None
    # Jinja2 is imported where a template needs it.
    from .jinja_template import JinjaTemplate, MessagesTemplate

    file = options.template_file or options.messages_template
    name = "--template" if file is None else file
    text = options.template if file is None else read_template_file(file)
    assert text is not None
    kind = JinjaTemplate if options.messages_template is None else MessagesTemplate
    template: JinjaTemplate | MessagesTemplate = kind.parse(text, name)
    if not (may_be_fixed or template.reads_row):
        message = _(
            "{option} names no column, so that every row would be asked the same; write one as in "
            "{{{{ text }}}}."
        )
        raise UsageError(message.format(option=name))
    return template


def system_template(text: str | None, template: RowTemplate | None) -> RowTemplate | None:
    """Return the system prompt as a template of the same kind as the prompt's; None where it is
    fixed: no prompt template, or a text that names no column. Raises `UsageError`."""
    if text is None or template is None:
        return None
    if isinstance(template, Template):
        # Braces that name no column, as those of JSON, stay what they are.
        return Template.parse(text, "--system") if _COLUMN.search(text) else None
    from .jinja_template import JinjaTemplate

    return JinjaTemplate.parse(text, "--system") if "{" in text else None


def read_template_file(name: str) -> str:
    """Return the text of a file of templates. Raises `UsageError`."""
    try:
        with Path(name).open("rb") as file:
            data = file.read(MAX_FILE + 1)
        if len(data) > MAX_FILE:
            raise UsageError(_("{path} is too long for a template.").format(path=name))
        return data.decode("utf-8-sig")
    except OSError as error:
        text = _("{path} can't be read: {reason}.")
        raise UsageError(text.format(path=name, reason=_(error.strerror))) from None
    except UnicodeDecodeError:
        raise UsageError(_("{path} is not text in UTF-8.").format(path=name)) from None
