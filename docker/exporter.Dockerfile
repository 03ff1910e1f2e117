# camserve with its export tools: export Keras models to bundles and publish bundles. Runs without network.
#   docker build --file docker/exporter.Dockerfile --tag camserve-exporter .
# To pin the base image by digest:  --build-arg PYTHON_DIGEST=@sha256:...

ARG PYTHON_TAG=3.11.14-slim-bookworm
ARG PYTHON_DIGEST=

FROM python:${PYTHON_TAG}${PYTHON_DIGEST} AS build
WORKDIR /source
COPY . .
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# Use the lock as constraints. pip requires hashes for all packages or for none, so they are removed.
RUN sed -E 's/ *\\$//; /^ *--hash=/d' requirements.lock > /tmp/constraints.txt \
    && python -m venv /opt/camserve \
    && /opt/camserve/bin/pip install --no-cache-dir --constraint /tmp/constraints.txt '.[export]'

FROM python:${PYTHON_TAG}${PYTHON_DIGEST}
COPY --from=build /opt/camserve /opt/camserve
ENV PATH=/opt/camserve/bin:${PATH} \
    HOME=/tmp \
    ORT_DISABLE_TELEMETRY=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TF_CPP_MIN_LOG_LEVEL=2
USER 1000:1000
WORKDIR /tmp
CMD ["camserve", "--help"]
