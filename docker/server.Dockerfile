# Triton with the C++ ONNX Runtime backend only. Models are mounted; the image contains none.
#   docker build --file docker/server.Dockerfile --tag camserve-server:26.07 docker
# To pin the base image by digest:  --build-arg TRITON_DIGEST=@sha256:...

ARG TRITON_TAG=26.07-py3
ARG TRITON_DIGEST=
FROM nvcr.io/nvidia/tritonserver:${TRITON_TAG}${TRITON_DIGEST}

# Remove all other backends: with the Python backend, Triton would run Python code of a model repository.
ARG BACKENDS=onnxruntime
SHELL ["/bin/bash", "-o", "errexit", "-o", "nounset", "-o", "pipefail", "-c"]
RUN for folder in /opt/tritonserver/backends/*; do \
      [[ " ${BACKENDS} " == *" ${folder##*/} "* ]] || rm -r "${folder}"; \
    done; \
    for name in ${BACKENDS}; do test -d "/opt/tritonserver/backends/${name}"; done; \
    mkdir /models; \
    install --directory --owner=1000 --group=1000 /var/cache/camserve

# With `--build-arg BACKENDS="onnxruntime python"`: what the models import that take image files.
RUN if [[ " ${BACKENDS} " == *" python "* ]]; then \
      python3 -m pip install --no-cache-dir --break-system-packages numpy==1.26.4 pillow==13.0.0 pydantic==2.14.3; \
    fi

COPY --chmod=0755 start-server.sh /usr/local/bin/start-server

# Numeric, so that Kubernetes can verify that it is not root. Triton writes only to /tmp and the cache folder, so the
# root file system can be read-only.
USER 1000:1000
WORKDIR /tmp
ENV HOME=/tmp \
    ORT_DISABLE_TELEMETRY=1
EXPOSE 8000 8001 8002

HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["curl", "--fail", "--silent", "--output", "/dev/null", "http://127.0.0.1:8000/v2/health/ready"]

# NVIDIA's entrypoint selects the CUDA libraries for the host's driver, then runs the command.
ENTRYPOINT ["/opt/nvidia/nvidia_entrypoint.sh", "/usr/local/bin/start-server"]
CMD []
