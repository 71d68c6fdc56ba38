#!/usr/bin/env bash
# Run a command where `sam local` works without pulling an image: with-lab.sh LAB COMMAND...
#   LAB  folder with setup.sh, which finds or starts a container engine, makes a python3.11 image and writes an env.sh
#        (../shared/sam-lab). The engine is left running.
set -euo pipefail
lab=${1:?usage: with-lab.sh LAB COMMAND...}
shift
[ -x "$lab/setup.sh" ] || { echo "with-lab.sh: $lab has no setup.sh" >&2; exit 1; }
home=${LEVADA_SAM_LAB_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/sam-lab}
"$lab/setup.sh" "$home" >&2
# shellcheck disable=SC1091
. "$home/env.sh"
exec "$@"
