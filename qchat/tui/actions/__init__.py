"""The actions of the chat: one table for keys, slash commands, command palette and help.

Others import `action.Action`, `table.ACTIONS`, `keymap.Keymap`, `slash` and `palette`.
"""
