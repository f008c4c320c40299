#!/bin/sh
# Ask five times, let the majority decide, and compare it with labels: sh vote.sh --model demo
set -e
here=$(dirname "$0")
cut -d, -f1,2 "$here/review_labels.csv" | sed '1s/mood/output/' > vote_labels.csv
qchat batch "$here/reviews.csv" --template 'Is this review good, bad or mixed? {review}' \
  -o votes.jsonl --choice good,bad,mixed --samples 5 --vote --temperature 1 \
  --gold vote_labels.csv "$@"
