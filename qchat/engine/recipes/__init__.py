"""Recipes: the properties of well-known models, bundled (`data/`) and updated.

Others import `catalog` and the types of `recipe_types`.
"""
