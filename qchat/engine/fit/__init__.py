"""Whether and how a model fits a machine: GPUs, memory budget, context length.

Others import `fitting` and the types of `fit_types`. Pure arithmetic on models and machines.
"""
