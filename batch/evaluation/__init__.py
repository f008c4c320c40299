"""What the answers of a run are worth: compared with labels, put to the vote, asked again.

`predictions` reads answers out of lines of the results, `gold` the labels of a table, `evaluate`
compares both, `review` writes the unsure rows, `votes` the majority of samples; `verification`
asks answered rows again.
"""
