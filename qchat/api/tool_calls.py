"""The tool calls of a streamed answer: as they are sent, and as Markdown for a reader."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..i18n import _
from ..sanitize import one_line

_FENCE = "````"  # JSON has no line that begins so


@dataclass(slots=True)
class ToolCall:
    """A call: the name of the function, and its arguments as the model wrote them, mostly JSON."""

    name: str = ""
    arguments: str = ""


class ToolCalls:
    """Collects the calls of one answer from its deltas (``choices[0].delta``).

    `calls` are all so far. `text` returns what there is to be read of a delta: for each call a
    line with its name, and the arguments in a code block.
    """

    def __init__(self) -> None:
        self.calls: list[ToolCall] = []
        self._indices: list[int] = []
        self._open = False  # the code block of the last call has begun

    def text(self, delta: Mapping[str, object]) -> str:
        """Take over a delta, and return the Markdown that it adds. Raises TypeError,
        AttributeError for a wrong format."""
        return "".join(
            part
            for index, function in _functions(delta)
            for part in self._feed(index, function.get("name"), function.get("arguments"))
        )

    def end(self) -> str:
        """Return the end of the last code block, '' where none is open."""
        begin = ""
        if not self._open:
            if not self.calls or self.calls[-1].arguments:
                return ""
            begin = self._begin(self.calls[-1])  # a call without arguments
        self._open = False
        newline = "" if self.calls[-1].arguments.endswith("\n") else "\n"
        return f"{begin}{newline}{_FENCE}\n"

    def _feed(self, index: int, name: object, arguments: object) -> Iterator[str]:
        if index not in self._indices:
            yield self.end()
            self._indices.append(index)
            self.calls.append(ToolCall())
        call = self.calls[self._indices.index(index)]
        if isinstance(name, str):
            call.name += name
        if not isinstance(arguments, str) or not arguments:
            return
        call.arguments += arguments
        yield self._begin(call)
        yield arguments

    def _begin(self, call: ToolCall) -> str:
        if self._open:
            return ""
        self._open = True
        name = one_line(call.name).replace("`", "'") or "?"
        heading = _("Tool call: {name}").format(name=f"**`{name}`**")
        return f"\n\n{heading}\n\n{_FENCE}json\n"


def _functions(delta: Mapping[str, object]) -> Iterator[tuple[int, Mapping[str, object]]]:
    """Yield each part of a call with the number of its call."""
    calls = delta.get("tool_calls") or []
    if not isinstance(calls, list):
        raise TypeError(f"the message's tool_calls are {type(calls).__name__}, not a list")
    for number, call in enumerate(calls):
        yield call.get("index", number), call.get("function") or {}
    function = delta.get("function_call")  # the form before tool calls
    if isinstance(function, Mapping):
        yield 0, function
