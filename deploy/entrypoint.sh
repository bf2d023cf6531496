#!/bin/sh
# Whoever submits to Flink needs its home laid out, which in a container is empty at each start.
set -eu
python -m stack.services.flink_home
exec tick "$@"
