"""Serve image classification over HTTP; one AsyncClassifier handles all requests.

    python examples/web_handler.py --url localhost:8001 --model resnet50 --port 8080
    curl --data-binary @cat.jpg http://127.0.0.1:8080/classify

Requires aiohttp (pip install aiohttp). An invalid image returns status 400, an upload over 16 MiB 413. If the model
server is unreachable, reports an error or exceeds the deadline, the status is 503, 502 or 504. `GET /health` returns
200 if the model is ready, else 503.
"""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator

from aiohttp import web

from camserve.clients import AsyncClassifier, DecodeOptions
from camserve.errors import CamserveError, ConnectionFailedError, DeadlineError, ImageError

CLASSIFIER = web.AppKey("classifier", AsyncClassifier)
MAX_UPLOAD = 16 * 1024 * 1024


def http_status(error: CamserveError) -> int:
    """Return the HTTP status for an error."""
    statuses = {ImageError: 400, DeadlineError: 504, ConnectionFailedError: 503}
    return next((status for kind, status in statuses.items() if isinstance(error, kind)), 502)


async def classify(request: web.Request) -> web.Response:
    """Classify the image in the request body."""
    try:
        result = await request.app[CLASSIFIER].classify(await request.read(), top=5)
    except CamserveError as error:
        # Callers learn what is wrong with their image, but nothing about the servers behind this one.
        status = http_status(error)
        message = error.message if status == 400 else "classification is unavailable"
        return web.json_response({"error": message}, status=status)
    top = [{"label": prediction.label, "probability": prediction.probability} for prediction in result.top]
    return web.json_response({"model": result.model, "version": int(result.version), "top": top})


async def health(request: web.Request) -> web.Response:
    """Report whether the model is ready."""
    try:
        ready = await request.app[CLASSIFIER].is_ready()
    except CamserveError:
        ready = False
    return web.json_response({"ready": ready}, status=200 if ready else 503)


def create_application(url: str, model: str, timeout: float) -> web.Application:
    """Create the web application, which answers within so many seconds."""

    async def connect(app: web.Application) -> AsyncIterator[None]:
        # Uploads: apply the EXIF orientation, and limit the memory that one image can take.
        options = DecodeOptions(exif=True, max_pixels=24_000_000)
        async with AsyncClassifier(url, model, timeout=timeout, decode_options=options) as classifier:
            app[CLASSIFIER] = classifier
            yield

    app = web.Application(client_max_size=MAX_UPLOAD)
    app.cleanup_ctx.append(connect)
    app.add_routes([web.post("/classify", classify), web.get("/health", health)])
    return app


def main() -> None:
    """Run the web application until it is stopped."""
    parser = argparse.ArgumentParser(description="Serve image classification over HTTP.")
    parser.add_argument("--url", default="localhost:8001", help="gRPC address of Triton (default: localhost:8001)")
    parser.add_argument("--model", default="resnet50", help="name of the model (default: resnet50)")
    parser.add_argument("--timeout", type=float, default=10.0, help="deadline of an answer in seconds (default: 10)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8080, help="port to listen on (default: 8080)")
    arguments = parser.parse_args()
    application = create_application(arguments.url, arguments.model, arguments.timeout)
    web.run_app(application, host=arguments.host, port=arguments.port)


if __name__ == "__main__":
    main()
