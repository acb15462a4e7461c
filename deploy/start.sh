#!/bin/sh
# Start one command of the gateway; the addresses that hold a password come from files.
set -eu
GATEWAY_LEDGER=$(cat /run/secrets/ledger)
GATEWAY_BROKER=$(cat /run/secrets/broker)
export GATEWAY_LEDGER GATEWAY_BROKER
exec python -m gateway "$@"
