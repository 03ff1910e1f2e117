#!/bin/bash
# Start Triton on the mounted model repository, with everything disabled that clients do not need.
# Arguments of the container are appended to Triton's.
set -euo pipefail

repository=${CAMSERVE_REPOSITORY:-/models}
key_file=${CAMSERVE_ADMIN_KEY_FILE:-/run/secrets/camserve-admin-key}

if [[ -s $key_file ]]; then
  key=$(<"$key_file")
else
  # A random key that is not stored: no client can load or unload models.
  key=$(od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n')
fi
if [[ ! $key =~ ^[A-Za-z0-9._~-]{16,256}$ ]]; then
  echo "error: the admin key in $key_file must be one line of 16 to 256 letters, digits and . _ ~ -" >&2
  exit 2
fi

# When the process of a Python backend dies, as by a lack of memory, Triton goes on without it from release 24.06 on: a
# share of the requests fails, and it says that it is ready (triton-inference-server/server#8604). So it is ended, and the
# container with it, which Docker or Kubernetes starts again. A process that Triton ends itself is not found twice.
end_without_a_model_process() {
  local server=$1 before="" dead stat line code
  while :; do
    code=0
    timeout 5 tail --sleep-interval=0.2 --pid="$server" -f /dev/null || code=$?
    ((code == 124)) || return 0 # the server has ended
    dead=""
    for stat in /proc/[0-9]*/stat; do
      read -r line 2>/dev/null <"$stat" || continue
      [[ $line == *"(triton_python_b) Z $server "* ]] || continue
      dead+=" ${line%% *} "
      if [[ $before == *" ${line%% *} "* ]]; then
        kill -TERM "$server"
        echo "error: the process of a model has died (PID ${line%% *}), so Triton is ended: more memory may help" \
          >>"/proc/$server/fd/2" || :
        return 0
      fi
    done
    before=$dead
  done
}
end_without_a_model_process $$ </dev/null >/dev/null 2>&1 &

restricted=model-repository,shared-memory,trace,logging

# Readiness is not strict: Triton counts a replaced version as a missing model and would report itself not ready after
# each swap. It listens only when every model is loaded, and each model has its own readiness endpoint.
exec tritonserver \
  --model-repository="$repository" \
  --model-control-mode=explicit \
  --load-model='*' \
  --disable-auto-complete-config \
  --exit-on-error=true \
  --exit-timeout-secs=30 \
  --strict-readiness=false \
  --allow-client-shm=false \
  --http-restricted-api="$restricted:camserve-admin-key=$key" \
  --grpc-restricted-protocol="$restricted:camserve-admin-key=$key" \
  --metrics-config=summary_latencies=true \
  --metrics-config=summary_quantiles=0.5:0.05,0.9:0.01,0.99:0.001 \
  "$@"
