"""System prompts as files: ``prompts/NAME.md`` beside config.toml."""

import difflib
import re
from pathlib import Path
from typing import Final

from .errors import UsageError
from .files import replace_file
from .i18n import _, sentence_gap
from .sanitize import clean
from .settings import Paths, private_dir

_NAME: Final = re.compile(r"[\w][\w .-]*")
_MOST: Final = 1 << 20  # bytes; a longer one is no prompt
_LONGEST: Final = 252  # bytes of a name, which ".md" makes as long as a file's may be


class Prompts:
    """The folder of system prompts; it is made when the first one is written."""

    def __init__(self, paths: Paths) -> None:
        self.folder = paths.config / "prompts"

    def names(self) -> list[str]:
        """All there are, in their order; none where the folder is not there or can't be read."""
        try:
            files = sorted(self.folder.iterdir())
        except OSError:
            return []
        return [file.stem for file in files if file.suffix == ".md" and _NAME.fullmatch(file.stem)]

    def file(self, name: str) -> Path:
        """Where the prompt of this name stands, or would. Raises `UsageError` for no name."""
        name = name.removesuffix(".md")
        if not _NAME.fullmatch(name):
            text = _("{name!r} is no name of a system prompt: letters, digits, space, - _ and .")
            raise UsageError(text.format(name=name))
        if len(name.encode()) > _LONGEST:
            text = _("The name of a system prompt has {most} bytes at most, not {n}.")
            raise UsageError(text.format(most=_LONGEST, n=len(name.encode())))
        return self.folder / f"{name}.md"

    def read(self, name: str) -> str:
        """The text of a prompt. Raises `UsageError` where there is none, or it can't be read."""
        file = self.file(name)
        text = self._text(file)
        if text is None:
            raise UsageError(self._missing(name, file))
        if not text:
            raise UsageError(_("{file} is empty.").format(file=file))
        return text

    def draft(self, name: str) -> str:
        """What an editor begins with: '' where there is nothing yet. Raises `UsageError` where it
        can't be read."""
        return self._text(self.file(name)) or ""

    def _text(self, file: Path) -> str | None:
        try:
            with file.open("rb") as opened:
                data = opened.read(_MOST + 1)
            text = data.decode("utf-8-sig").replace("\r\n", "\n").strip()
        except FileNotFoundError:
            return None
        except OSError as e:
            message = _("Can't read {file}: {why}.")
            raise UsageError(message.format(file=file, why=_(e.strerror))) from e
        except UnicodeDecodeError:
            raise UsageError(_("{file} is not UTF-8 text.").format(file=file)) from None
        if len(data) > _MOST:
            raise UsageError(_("{file} is larger than 1 MiB.").format(file=file))
        return text

    def write(self, name: str, text: str) -> Path:
        """Keep a prompt, readable by its owner alone; the old file stays until the new one is
        whole. Raises `UsageError`."""
        file = self.file(name)
        private_dir(self.folder)
        try:
            replace_file(file, (text.rstrip("\n") + "\n").encode())
        except OSError as e:
            message = _("Can't write {file}: {why}.")
            raise UsageError(message.format(file=file, why=_(e.strerror))) from e
        return file

    def name_of(self, text: str) -> str | None:
        """The name of the prompt that has this text, None where none has it."""
        normalized = clean(text).strip()
        for name in self.names():
            try:
                if clean(self.read(name)).strip() == normalized:
                    return name
            except UsageError:
                continue
        return None

    def _missing(self, name: str, file: Path) -> str:
        near = difflib.get_close_matches(name, self.names(), n=1)
        text = _("There is no system prompt {name!r} ({file}).").format(name=name, file=file)
        if near:
            text += sentence_gap() + _("Did you mean {near!r}?").format(near=near[0])
        return text
