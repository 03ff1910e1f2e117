"""A web service that names what uploaded images show; one AsyncClassifier serves all requests.

    python examples/web_handler.py --url localhost:8001 --model resnet50 --port 8080
    curl --data-binary @cat.jpg http://127.0.0.1:8080/classify

It needs aiohttp (pip install aiohttp). A body that is no image is the caller's fault and gets 400, one that is too
large 413; where the model server is gone, refuses or is too slow, the answer is 503, 502 or 504. `GET /health` says
whether the model is served.
"""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator

from aiohttp import web

from camserve.clients import AsyncClassifier, DecodeOptions
from camserve.errors import CamserveError, ConnectionFailedError, DeadlineError, ImageError

CLASSIFIER = web.AppKey("classifier", AsyncClassifier)
LARGEST_UPLOAD = 16 * 1024 * 1024


def status_of(error: CamserveError) -> int:
    """The HTTP status for an error."""
    statuses = {ImageError: 400, DeadlineError: 504, ConnectionFailedError: 503}
    return next((status for kind, status in statuses.items() if isinstance(error, kind)), 502)


async def classify(request: web.Request) -> web.Response:
    """Answers with the best classes of the image in the body."""
    try:
        result = await request.app[CLASSIFIER].classify(await request.read(), top=5)
    except CamserveError as error:
        # Only what is wrong with their image is told to callers; of the servers behind they need not know.
        status = status_of(error)
        told = error.message if status == 400 else "the image cannot be classified now"
        return web.json_response({"error": told}, status=status)
    top = [{"label": prediction.label, "probability": prediction.probability} for prediction in result.top]
    return web.json_response({"model": result.model, "version": result.version, "top": top})


async def health(request: web.Request) -> web.Response:
    """Says whether the model is served."""
    try:
        ready = await request.app[CLASSIFIER].is_ready()
    except CamserveError:
        ready = False
    return web.json_response({"ready": ready}, status=200 if ready else 503)


def application(url: str, model: str) -> web.Application:
    """The service."""

    async def connected(app: web.Application) -> AsyncIterator[None]:
        # Photos of strangers: upright, and no larger than the service can stand.
        decode_options = DecodeOptions(exif=True, max_pixels=24_000_000)
        async with AsyncClassifier(url, model, timeout=10.0, decode_options=decode_options) as classifier:
            app[CLASSIFIER] = classifier
            yield

    app = web.Application(client_max_size=LARGEST_UPLOAD)
    app.cleanup_ctx.append(connected)
    app.add_routes([web.post("/classify", classify), web.get("/health", health)])
    return app


def main() -> None:
    """Runs the service until it is ended."""
    parser = argparse.ArgumentParser(description="Name what uploaded images show.")
    parser.add_argument("--url", default="localhost:8001", help="gRPC address of Triton")
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    arguments = parser.parse_args()
    web.run_app(application(arguments.url, arguments.model), host=arguments.host, port=arguments.port)


if __name__ == "__main__":
    main()
