#!/bin/sh
# Health: 200 once the server is ready; no key is needed.
set -eu
base_url=${QCHAT_BASE_URL:-http://localhost:8000}

curl --fail --silent --show-error --connect-timeout 5 "$base_url/health"
echo "The service is up: $base_url"
