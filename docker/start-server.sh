#!/bin/bash
# Starts Triton over a repository that was mounted, with everything closed that a client does not need.
# Arguments of the container are added to Triton's own.
set -euo pipefail

repository=${CAMSERVE_REPOSITORY:-/models}
key_file=${CAMSERVE_ADMIN_KEY_FILE:-/run/secrets/camserve-admin-key}

if [[ -s $key_file ]]; then
  key=$(<"$key_file")
else
  # Nobody learns this one, so nobody loads or unloads a model from outside.
  key=$(od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n')
fi
if [[ ! $key =~ ^[A-Za-z0-9._~-]{16,256}$ ]]; then
  echo "error: the admin key in $key_file must be one line of 16 to 256 letters, digits and . _ ~ -" >&2
  exit 2
fi

closed=model-repository,shared-memory,trace,logging

# Readiness is not strict: Triton counts a version that was replaced as a model that is missing, and would leave the
# load balancer after each swap. It listens only when every model is loaded, and each model has a readiness of its own.
exec tritonserver \
  --model-repository="$repository" \
  --model-control-mode=explicit \
  --load-model='*' \
  --disable-auto-complete-config \
  --exit-on-error=true \
  --exit-timeout-secs=30 \
  --strict-readiness=false \
  --allow-client-shm=false \
  --http-restricted-api="$closed:camserve-admin-key=$key" \
  --grpc-restricted-protocol="$closed:camserve-admin-key=$key" \
  --metrics-config=summary_latencies=true \
  --metrics-config=summary_quantiles=0.5:0.05,0.9:0.01,0.99:0.001 \
  "$@"
