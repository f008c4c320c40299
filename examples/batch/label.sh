#!/bin/sh
# Label a CSV with probabilities, compare with labels, and set aside what is unsure:
#   sh label.sh --model demo      or      sh label.sh --base-url http://127.0.0.1:8000
set -e
here=$(dirname "$0")
qchat batch "$here/reviews.csv" --ask "$here/review_questions.yaml" -o labelled.csv \
  --gold "$here/review_labels.csv" --threshold 0.9 --review to_review.csv "$@"
