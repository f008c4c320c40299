"""`--ask`: typed questions about each row, answered with probabilities.

`definition` reads the questions, `prompts` makes requests of them, `logprobs` reads the answers,
`plan` asks the questions of one row one after the other, `answers` makes columns of them.
`metrics` is the arithmetic of `--gold`.
"""
