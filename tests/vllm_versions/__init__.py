"""The versions of vLLM that the real-vLLM tests ran with, and the table of them in the docs.

`make test-vllm VERSION=0.30.0` runs the tests (`run`) and keeps their result in results.json;
`python -m tests.vllm_versions.table` writes the table into docs/vllm-versions.md and README.md.
"""
