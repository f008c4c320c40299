"""What a person can do in the chat: one table that keys, slash commands, palette and help share.

Others import `action.Action`, `table.ACTIONS` and `keymap.Keymap`.
"""
