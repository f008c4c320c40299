"""Notes in the corner: few at a time, and never over a field."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from textual.widget import Widget
from textual.widgets import Input
from textual.widgets._toast import Toast, ToastRack

from qchat.tui.screens.argument_prompt import ArgumentPrompt
from qchat.tui.screens.model_picker import ModelPicker

from .chat_app import NOWHERE, chat, type_in
from .waiting import wait_until

LONG = "Sentence of a note that is longer than one row of it, as those about errors often are."


@pytest.mark.parametrize("size", [(80, 24), (40, 24), (60, 14), (80, 10), (120, 40)])
async def test_they_lie_over_no_field(tmp_path: Path, size: tuple[int, int]) -> None:
    with chat(tmp_path, NOWHERE) as app:
        async with app.run_test(size=size, notifications=True) as pilot:
            await wait_until(lambda: app.conversation.is_open)
            for number in range(9):
                app.say(f"{number}: {LONG if number % 2 else 'short'}", seconds=60)
            app.say(f"last: {LONG}", seconds=60)

            def shown() -> list[Toast]:
                toasts = list(app.screen.query(Toast))
                return toasts if toasts and "last" in str(toasts[-1].render()) else []

            def covered(fields: Iterable[Widget]) -> list[Widget]:
                clip = app.screen.query_one(ToastRack).region
                regions = [toast.region.intersection(clip) for toast in shown()]
                return [one for one in fields if any(one.region.overlaps(r) for r in regions)]

            await wait_until(lambda: 1 <= len(shown()) <= 3)
            await pilot.pause()
            assert not covered([app.composer])
            for name in ("set", "model"):
                await type_in(app, f"/{name}")
                await wait_until(lambda: isinstance(app.screen, ArgumentPrompt | ModelPicker))
                await wait_until(lambda: 1 <= len(shown()) <= 3)
                await pilot.pause()
                assert not covered(app.screen.query(Input))
                await pilot.press("escape")
                await wait_until(lambda: len(app.screen_stack) == 1)
