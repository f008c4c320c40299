#!/bin/sh
# Answer questions, then judge the answers in a second run: sh judge.sh --model demo
# Another model may judge, or answer the same questions again: see --from in the README.
set -e
here=$(dirname "$0")
qchat batch "$here/../questions.jsonl" -o answers.jsonl --limit 4 --max-tokens 100 "$@"
qchat batch --from answers.jsonl --column answer --ask "$here/judge_questions.yaml" \
  -o judged.jsonl "$@"
