#!/usr/bin/env bash
# Run a command with a LocalStack that needs no Docker: with-lab.sh LAB COMMAND...
#   LAB  folder with setup.sh, start.sh and stop.sh that take a folder (../shared/localstack-lab)
# A LocalStack that answers at AWS_ENDPOINT_URL already is used, and left running.
set -euo pipefail
lab=${1:?usage: with-lab.sh LAB COMMAND...}
shift
health() { curl -sf -m 5 "$1/_localstack/health" >/dev/null 2>&1; }
if [ -n "${AWS_ENDPOINT_URL:-}" ] && health "$AWS_ENDPOINT_URL"; then exec "$@"; fi
if [ ! -x "$lab/setup.sh" ] || [ ! -x "$lab/start.sh" ]; then
  echo "with-lab.sh: $lab has no setup.sh and start.sh: name a LocalStack in AWS_ENDPOINT_URL instead" >&2
  exit 1
fi
home=${LEVADA_LAB_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/levada-localstack-lab}
mkdir -p "$home"
LAB_SAM=0 "$lab/setup.sh" "$home" >&2
PORT=${PORT:-$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')}
AWS_ENDPOINT_URL=$(PORT=$PORT "$lab/start.sh" "$home")
export AWS_ENDPOINT_URL
trap '"$lab/stop.sh" "$home" >&2' EXIT
echo "LocalStack without Docker at $AWS_ENDPOINT_URL" >&2
"$@"
