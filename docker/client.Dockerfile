# The camserve client: classify and score on a remote server. Contains no TensorFlow, Keras or ONNX.
#   docker build --file docker/client.Dockerfile --tag camserve-client .
# To write Parquet tables:  --build-arg EXTRAS=[parquet]
# To pin the base image by digest:  --build-arg PYTHON_DIGEST=@sha256:...

ARG PYTHON_TAG=3.11.14-slim-bookworm
ARG PYTHON_DIGEST=

FROM python:${PYTHON_TAG}${PYTHON_DIGEST} AS build
ARG EXTRAS=
WORKDIR /source
COPY . .
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# Use the lock as constraints. pip requires hashes for all packages or for none, so they are removed.
RUN sed -E 's/ *\\$//; /^ *--hash=/d' requirements.lock > /tmp/constraints.txt \
    && python -m venv /opt/camserve \
    && /opt/camserve/bin/pip install --no-cache-dir --constraint /tmp/constraints.txt ".${EXTRAS}"

FROM python:${PYTHON_TAG}${PYTHON_DIGEST}
COPY --from=build /opt/camserve /opt/camserve
ENV PATH=/opt/camserve/bin:${PATH} \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1
USER 1000:1000
WORKDIR /tmp
CMD ["camserve", "--help"]
