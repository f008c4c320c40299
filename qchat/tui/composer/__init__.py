"""The field in which the user writes: chips, attachments, history, completion.

Others import `composer.Composer`, `chips.Draft` and `line_input`.
"""
