# camserve with its export tools: Keras in, bundle out, and bundles into a repository. It needs no network to run.
#   docker build --file docker/exporter.Dockerfile --tag camserve-exporter .
# Pin the base by content as well:  --build-arg PYTHON_DIGEST=@sha256:...

ARG PYTHON_TAG=3.11.14-slim-bookworm
ARG PYTHON_DIGEST=

FROM python:${PYTHON_TAG}${PYTHON_DIGEST} AS build
WORKDIR /source
COPY . .
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# The lock as constraints: its versions, of the packages that are wanted here. pip wants hashes of all or of none.
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
