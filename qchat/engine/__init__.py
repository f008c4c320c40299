"""vLLM, models and the hardware, before and while an engine starts.

`machine` and `models` stand alone; `recipes` describe models; `fit` puts models on machines;
`runtime` is the installed vLLM. `batch` and `serve` import the modules they need.
"""
