#!/bin/sh
# Look every half minute whether the live job runs; if not, go on from its newest state, or start it afresh.
python -m stack.services.flink_home
while :; do
  tick job status >/dev/null 2>&1 || tick job resume --alone || tick job submit --alone || true
  sleep 30
done
