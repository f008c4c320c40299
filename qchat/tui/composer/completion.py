"""The completion of what is typed in the composer: commands after a slash, paths after an @."""

import asyncio
import re
from collections.abc import Callable, Sequence

from textual import work

from ...errors import UsageError
from .attachments import PathCandidate, complete_path, resolve_path
from .chip_text_area import ChipTextArea
from .command_menu import CommandEntry, common_start, matching_commands, typed_command
from .completion_list import CompletionList, CompletionOption

Candidate = CommandEntry | PathCandidate


class CompletingTextArea(ChipTextArea):
    """A field with a list of completions above it, the `CompletionList` of its screen."""

    def __init__(
        self,
        *,
        id: str | None,
        placeholder: str,
        limit: int,
        commands: Callable[[], Sequence[CommandEntry]] | None = None,
    ) -> None:
        """`limit` is that of attached files in bytes; `commands` are those of the menu."""
        super().__init__(id=id, placeholder=placeholder)
        self.limit = limit
        self._commands = commands or (lambda: ())
        self._candidates: Sequence[Candidate] = ()
        self._dismissed = ""  # what was typed when the list was closed by Escape
        self._mention_folder = ""  # the last completed folder, whose path may contain spaces

    @property
    def can_complete(self) -> bool:
        """Whether what is typed is completed here; not where an earlier question is shown."""
        return self.selection.is_empty

    # -- candidates ------------------------------------------------------------------------

    def update_completions(self) -> None:
        """Show the completions of what stands before the cursor."""
        command, mention = self._typed_command(), self._current_mention()
        if command is not None:
            self._show_commands(f"/{command}")
        elif mention is None:
            self._dismissed = ""
            self._set_candidates(())
        elif f"@{mention}" == self._dismissed:
            self._set_candidates(())
        else:
            self._find_paths(mention)

    def _show_commands(self, typed: str) -> None:
        if typed == self._dismissed:
            self._set_candidates(())
            return
        self._set_candidates(matching_commands(self._commands(), typed[1:]))

    def _typed_command(self) -> str | None:
        if not self.can_complete or self.document.line_count > 1:
            return None
        return typed_command(self.document.get_line(0), self.cursor_location[1])

    def _current_mention(self) -> str | None:
        """Return the path after the @ before the cursor, None where there is none."""
        if not self.can_complete:
            return None
        row, column = self.cursor_location
        pattern = rf"(?<!\S)@({re.escape(self._mention_folder)}\S*|\S*)$"
        match = re.search(pattern, self.document.get_line(row)[:column])
        return match[1] if match else None

    @work(exclusive=True, group="names")
    async def _find_paths(self, mention: str) -> None:
        results = await asyncio.to_thread(complete_path, mention)
        if self._current_mention() == mention:
            self._set_candidates(results)

    def _set_candidates(self, results: Sequence[Candidate]) -> None:
        if list(results) == list(self._candidates):
            return
        self._candidates = results
        options = [
            CompletionOption(one.usage, one.about)
            if isinstance(one, CommandEntry)
            else CompletionOption(one.path)
            for one in results
        ]
        for completions in self.screen.query(CompletionList):
            completions.set_options(options)

    # -- keys ------------------------------------------------------------------------------

    def handle_completion_key(self, key: str) -> bool:
        """Handle a key of the list; return False where there is none, or for another key."""
        if key == "tab" and self.text:
            self._complete()
            return True  # Tab never leaves a field with text in it
        if not self._candidates:
            return False
        if key in ("up", "down"):
            self._list.move(-1 if key == "up" else 1)
        elif key == "enter":
            return self._accept_by_enter()
        elif key == "escape":
            command = self._typed_command()
            mention = self._current_mention()
            self._dismissed = f"@{mention or ''}" if command is None else f"/{command}"
            self._set_candidates(())
        else:
            return False
        return True

    @property
    def _list(self) -> CompletionList:
        return self.screen.query_one(CompletionList)

    @property
    def _highlighted(self) -> Candidate | None:
        index = self._list.highlighted_index if self._candidates else None
        return None if index is None else self._candidates[index]

    def _complete(self) -> None:
        """Complete what is typed: as far as it is certain, else as the highlighted option."""
        command = self._typed_command()
        if command is not None:
            self._dismissed = ""
            self._show_commands(f"/{command}")
        highlighted = self._highlighted
        if isinstance(highlighted, PathCandidate):
            self._accept_path(highlighted)
        elif highlighted is not None and command is not None:
            commands = [one for one in self._candidates if isinstance(one, CommandEntry)]
            start = common_start(commands, command)
            is_prefix = sum(one.name.startswith(start) for one in commands) > 1
            if self._list.highlighted_index == 0 and len(start) > len(command) and is_prefix:
                self._replace_command(f"/{start}")
            else:
                self._replace_command(highlighted.completion)

    def _accept_by_enter(self) -> bool:
        """Accept the highlighted option; a command that is typed in full is left to be run.

        The options may be those of a text that keys in the queue have gone beyond: with an argument
        typed after a command there is nothing to complete.
        """
        typed = self._typed_command()
        if typed is not None:  # the list may lag behind keys that arrive together
            self._show_commands(f"/{typed}")
        highlighted = self._highlighted
        if isinstance(highlighted, PathCandidate):
            if self._current_mention() is None:
                return False  # the path has ended since
            self._accept_path(highlighted)
        elif highlighted is None or typed is None or highlighted.name == typed:
            return False
        else:
            self._replace_command(highlighted.completion)
        return True

    def _replace_command(self, text: str) -> None:
        self.replace(text, self.document.start, self.document.end)
        self.move_cursor(self.document.end)

    def _accept_path(self, candidate: PathCandidate) -> None:
        mention = self._current_mention()
        if mention is None:
            return
        row, column = self.cursor_location
        start = (row, column - len(mention) - 1)
        self._set_candidates(())
        if candidate.is_folder:
            self._mention_folder = candidate.path
            self.replace(f"@{candidate.path}", start, (row, column))
            return
        try:
            chip = self.attach(resolve_path(candidate.path), candidate.path, self.limit)
        except UsageError as e:
            self._dismissed = f"@{mention}"
            self.notify(str(e), severity="error", markup=False, timeout=10)
            return
        self.replace(chip.label + " ", start, (row, column))
