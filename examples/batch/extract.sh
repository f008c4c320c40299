#!/bin/sh
# Extract fields of a schema into columns: sh extract.sh --model demo
set -e
here=$(dirname "$0")
qchat batch "$here/orders.csv" --template 'Extract the order as JSON: {mail}' -o orders.csv \
  --schema "$here/order.schema.json" --extract 'customer=$.customer' \
  --extract 'product=$.items[0].product' --extract 'count=$.items[0].count' \
  --temperature 0 --max-tokens 300 "$@"
