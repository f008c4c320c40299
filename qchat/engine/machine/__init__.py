"""The hardware of this machine: GPUs, memory, CPU cores and the limits set on them.

Others import `hardware`; `nvml` and `cgroups` are its sources.
"""
