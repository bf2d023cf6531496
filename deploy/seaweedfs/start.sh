#!/bin/sh
# S3 with the one key of the environment; the file that says so lies in memory.
set -eu
umask 077
cat > /tmp/s3.json <<JSON
{"identities": [{"name": "tick", "actions": ["Admin", "Read", "Write", "List", "Tagging"],
  "credentials": [{"accessKey": "$S3_ACCESS_KEY", "secretKey": "$S3_SECRET_KEY"}]}]}
JSON
exec weed server -dir=/data -ip=seaweedfs -ip.bind=0.0.0.0 -s3 -s3.config=/tmp/s3.json -volume.max=16
