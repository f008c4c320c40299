#!/bin/sh
# The models: data[].id is what a request names as its model.
set -eu
base_url=${QCHAT_BASE_URL:-http://localhost:8000}

# curl reads the key from standard input, so it is on no command line (ps); without a key, nothing.
auth() {
  [ -z "${QCHAT_API_KEY:-}" ] || printf 'header = "Authorization: Bearer %s"\n' "$QCHAT_API_KEY"
}

auth | curl --config - --fail-with-body --silent --show-error --connect-timeout 5 \
  "$base_url/v1/models"
echo
