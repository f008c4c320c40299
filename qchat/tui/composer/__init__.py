"""The field in which a person writes: chips, attachments, history, completion.

Others import `composer.Composer`, `chips.Draft` and `ordered_input`.
"""
