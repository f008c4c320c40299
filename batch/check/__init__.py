"""`--check`: what a run would ask, before anything starts.

    rows -> plain | others      others: what vLLM does more to a prompt than to apply a template
    plain -> tokens             the model's tokenizer and template, in this process, many at a time
    others -> vllm_prompts      a process of vLLM's renderer, without weights
    report                      what was read, for a person and as JSON
    probe                       a few rows asked for the estimate

Others import `command` alone.
"""
