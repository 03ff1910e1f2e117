"""Draw docs/view.png: the page with two versions of a network that was trained on drawn shapes, in int8 and float32."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from support.browser import open_browser
from support.disposable_server import DisposableServer
from support.shapes import DISTINCT_SHAPES, write_images
from support.trained import Trained, shapes_network
from support.viewing import open_page

from camserve.choices import Precision
from camserve.export import export_model
from camserve.serving import publish

_IMAGE, _CALIBRATION = 12, 100
_PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")
_BESIDE = (
    "(() => { const field = document.getElementById('second'); field.value = '1';"
    "field.dispatchEvent(new Event('change')); })()"
)


def draw(output: Path) -> None:
    """Train or load the network, publish both versions, and write the screenshot."""
    trained = shapes_network()
    with TemporaryDirectory() as name:
        folder = Path(name)
        image = _write(trained, folder)
        with (
            DisposableServer(_publish(trained, folder)) as server,
            open_page(server.grpc_url, "shapes") as page,
            open_browser(folder / "profile") as browser,
        ):
            tab = browser.tab(1280, 820)
            tab.visit(page.url)
            tab.wait("document.getElementById('second').options.length === 3")
            tab.run(_BESIDE)
            tab.choose_file("#file", image)
            tab.wait("document.querySelectorAll('canvas').length === 2")
            tab.screenshot(output)


def _write(trained: Trained, folder: Path) -> Path:
    """Write the calibration images and the image to show, and return that."""
    write_images(trained.calibration[:_CALIBRATION], folder / "calibration")
    image = folder / f"{DISTINCT_SHAPES[trained.classes[_IMAGE]]}.png"
    Image.fromarray(trained.images[_IMAGE]).save(image)
    return image


def _publish(trained: Trained, folder: Path) -> Path:
    """Export and publish both versions, and return the repository."""
    for precision in _PRECISIONS:
        bundle = export_model(
            trained.network,
            folder / precision,
            name="shapes",
            preprocessing=trained.preprocessing,
            labels=DISTINCT_SHAPES,
            cam_all=True,
            formats="onnx",
            precision=precision,
            calibration=folder / "calibration" if precision == "int8" else None,
        )
        publish(bundle, folder / "repository", options={"latest_versions": 2})
    return folder / "repository"


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
