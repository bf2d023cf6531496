#!/bin/sh
# Every half minute, start the live job if it does not run: from its newest state, else without one.
# A job that was stopped on purpose (`tick job stop`) stays stopped until `tick job resume`.
python -m stack.services.flink_home
while :; do
  tick job status >/dev/null 2>&1 || python -m streaming.job.intent \
    || tick job resume --alone || tick job submit --alone || true
  sleep 30
done
