# Triton with camserve's ONNX Runtime backend in place of the C++ one: fixed batch sizes and CUDA graphs on GPUs.
#   docker build --file docker/camserve-backend.Dockerfile --tag camserve-server:26.07-camserve .
# For another release of Triton, `camserve repository backend --target-triton RELEASE` prints the version of the wheel.
# To pin the base image by digest:  --build-arg TRITON_DIGEST=@sha256:...

ARG TRITON_TAG=26.07-py3
ARG TRITON_DIGEST=
FROM nvcr.io/nvidia/tritonserver:${TRITON_TAG}${TRITON_DIGEST}

SHELL ["/bin/bash", "-o", "errexit", "-o", "nounset", "-o", "pipefail", "-c"]
# Triton finds its Python backend in the folder of a backend that needs it. In a folder of its own, it would also run
# Python code of a model repository.
RUN mv /opt/tritonserver/backends/python /opt/python-backend; \
    rm -r /opt/tritonserver/backends/*; \
    mv /opt/python-backend /opt/tritonserver/backends/onnxruntime; \
    mkdir /models

# The wheel and the libraries of CUDA that it was built with, in the folder of the backend, where only that finds them.
ARG ONNXRUNTIME_GPU=1.31.1
RUN python3 -m pip install --no-cache-dir --target /opt/tritonserver/backends/onnxruntime \
      "onnxruntime-gpu[cuda,cudnn]==${ONNXRUNTIME_GPU}" numpy==1.26.4
COPY serving/backends/onnxruntime /opt/tritonserver/backends/onnxruntime
COPY serving/backends/camserve_backend /opt/tritonserver/backends/onnxruntime/camserve_backend
COPY --chmod=0755 docker/start-server.sh /usr/local/bin/start-server

# Numeric, so that Kubernetes can verify that it is not root.
USER 1000:1000
WORKDIR /tmp
ENV HOME=/tmp \
    ORT_DISABLE_TELEMETRY=1 \
    PYTHONDONTWRITEBYTECODE=1
EXPOSE 8000 8001 8002

HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["curl", "--fail", "--silent", "--output", "/dev/null", "http://127.0.0.1:8000/v2/health/ready"]

# NVIDIA's entrypoint selects the CUDA libraries for the host's driver, then runs the command.
ENTRYPOINT ["/opt/nvidia/nvidia_entrypoint.sh", "/usr/local/bin/start-server"]
CMD []
