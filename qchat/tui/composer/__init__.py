"""The field in which the user writes: chips, attachments, history, completion.

Others import `composer.Composer`, `chips` and `line_input`; the window also imports
`completion_list` and `external_editor`.
"""
