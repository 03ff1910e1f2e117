from __future__ import annotations

import io
import pickle
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from camserve.clients.scoring.inputs import find_items
from camserve.clients.scoring.inputs.remote import UrlSource
from camserve.clients.scoring.inputs.unreachable import WebServers
from camserve.errors import ClientError, ConnectionFailedError, ImageError, UsageError
from camserve.images.left_out import LeftOut

from .test_tar import png, shard

LIMIT = 1_000_000


@pytest.fixture
def bucket() -> Iterator[Any]:
    """The file system in memory, empty."""
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    yield fsspec.filesystem("memory")
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder, and refuses some paths."""

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        if "forbidden" in self.path:
            self.send_error(403)
        elif "cut" in self.path:
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.wfile.write(b"the start")
        elif self.path.startswith("/parts/") and "Range" in self.headers:
            content = Path(self.translate_path(self.path)).read_bytes()
            first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
            part = content[first : last + 1]
            self.send_response(206)
            self.send_header("Content-Length", str(len(part)))
            self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(content)}")
            self.end_headers()
            self.wfile.write(part)
        else:
            super().do_GET()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The address of a web server for the folder `web`."""
    (tmp_path / "web").mkdir()
    handler = partial(Quiet, directory=str(tmp_path / "web"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def put(bucket: Any, **files: bytes) -> None:
    for name, data in files.items():
        bucket.pipe(f"/b/{name}", data)


def names(*inputs: str, **options: Any) -> list[tuple[str, str]]:
    return [(item.path, item.id) for item in find_items(inputs, **options)]


def test_a_prefix_is_searched_in_the_order_of_names(bucket: Any) -> None:
    files = {"z.jpg": b"Z", "a/2.PNG": b"2", "a/raw": png(), "a/noise": b"noise", "a/1.txt": png(), "n.nef": b"N"}
    put(bucket, **files, **{".hidden.jpg": b"", "__MACOSX/1.jpg": b"", "a/._2.png": b""})
    put(bucket, **{"none/deep/1.txt": b""})
    bucket.mkdir("/b/new/deep")
    left_out = LeftOut()
    found = names("memory://b", left_out=left_out)
    paths = ["a/2.PNG", "a/raw", "z.jpg"]
    assert found == [(f"memory:///b/{path}", path) for path in paths]
    assert names("memory://b/") == found
    hidden = {"hidden_files": 2, "hidden_folders": 1}
    assert left_out.counts == {"not_images": 3, "raw_photos": 1, "folders_without_images": 2} | hidden
    assert left_out.first["not_images"] == [f"memory:///b/{path}" for path in ("a/1.txt", "a/noise", "none/deep/1.txt")]
    assert left_out.first["folders_without_images"] == ["memory:///b/new", "memory:///b/none"]
    sent = pickle.loads(pickle.dumps(next(iter(find_items(["memory://b"])))))
    assert sent.source.read(LIMIT) == b"2"


def test_files_and_patterns_of_a_bucket(bucket: Any) -> None:
    put(bucket, **{"1.jpg": b"1", "2.jpg": b"2", "deep/3.jpg": b"3", "._1.jpg": b"", ".h/4.jpg": b"4"})
    assert names("memory://b/1.jpg") == [("memory://b/1.jpg", "memory://b/1.jpg")]
    assert [path for path, _ in names("memory://b/*.jpg")] == ["memory:///b/1.jpg", "memory:///b/2.jpg"]
    assert [path for path, _ in names("memory://b/{2,1}.jpg")] == ["memory://b/2.jpg", "memory://b/1.jpg"]
    assert names("memory://b/*") == [
        ("memory:///b/1.jpg", "memory:///b/1.jpg"),
        ("memory:///b/2.jpg", "memory:///b/2.jpg"),
        ("memory:///b/deep/3.jpg", "3.jpg"),
    ]
    assert [path for path, _ in names("memory://b/.h/*.jpg")] == ["memory:///b/.h/4.jpg"]
    with pytest.raises(UsageError, match=r"no file matches memory://b/\*.gif"):
        names("memory://b/*.gif")
    with pytest.raises(UsageError, match=r"memory://b/none.jpg does not exist"):
        names("memory://b/none.jpg")


def test_tables_and_shards_of_a_bucket(bucket: Any, tmp_path: Path) -> None:
    put(bucket, **{"1.jpg": b"1", "list.csv": b"path\nmemory://b/1.jpg\n"})
    put(
        bucket,
        **{"s.tar": shard(tmp_path / "s.tar", [("0.cls", b"7"), ("0.jpg", b"J"), ("1.jpg", b"JJ")]).read_bytes()},
    )
    table = io.BytesIO()
    pq.write_table(pa.table({"image": [b"P"]}), table)
    put(bucket, **{"t.parquet": table.getvalue()})
    items = find_items(["memory://b/list.csv", "memory://b/s.tar", "memory://b/t.parquet"])
    assert [(item.path, item.id) for item in items] == [
        ("memory://b/1.jpg", "1"),
        ("memory://b/s.tar/0.jpg", "0"),
        ("memory://b/s.tar/1.jpg", "1"),
        ("memory://b/t.parquet:1", "1"),
    ]
    assert [pickle.loads(pickle.dumps(item)).source.read(LIMIT) for item in items] == [b"1", b"J", b"JJ", b"P"]


def test_an_object_that_cannot_be_read_is_an_error_of_its_image(bucket: Any) -> None:
    put(bucket, **{"1.jpg": b"12345", "2.jpg": b""})
    for name, limit, message in (
        ("1.jpg", 4, "has more than 4 bytes"),
        ("2.jpg", LIMIT, "is empty"),
        ("3.jpg", LIMIT, "does not exist"),
    ):
        with pytest.raises(ImageError, match=f"memory://b/{name} {message}"):
            UrlSource(f"memory://b/{name}").read(limit)
    with pytest.raises(ImageError, match=r"0.jpg is truncated: 5 of 9 bytes could be read"):
        UrlSource("memory://b/1.jpg", "s.tar/0.jpg", (0, 9)).read(LIMIT)


def test_an_empty_object_of_a_store_that_refuses_ranges_of_it_is_empty(
    bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **settings: object) -> bytes:
        raise OSError(22, "The requested range is not satisfiable")  # as s3fs

    put(bucket, **{"1.jpg": b"", "2.jpg": b"2"})
    monkeypatch.setattr(bucket, "cat_file", fail)
    with pytest.raises(ImageError, match=r"1.jpg is empty"):
        UrlSource("memory://b/1.jpg").read(LIMIT)
    with pytest.raises(ImageError, match=r"2.jpg cannot be read: OSError: .* range is not satisfiable"):
        UrlSource("memory://b/2.jpg").read(LIMIT)


def test_images_of_a_web_server(web: str, tmp_path: Path) -> None:
    (tmp_path / "web" / "sub").mkdir()
    for name in ("a b.jpg", "sub/c.png", "notes.txt"):
        (tmp_path / "web" / name).write_bytes(name.encode())
    left_out = LeftOut()
    items = list(find_items([f"{web}/"], left_out=left_out))
    assert [(item.path, item.id) for item in items] == [
        (f"{web}/a%20b.jpg", "a b.jpg"),
        (f"{web}/sub/c.png", "sub/c.png"),
    ]
    assert [item.source.read(LIMIT) for item in items] == [b"a b.jpg", b"sub/c.png"]
    assert left_out.first == {"not_images": [f"{web}/notes.txt"]}
    (tmp_path / "list").write_text(f"{web}/sub/c.png?x=1\n{web}/none.png\n{web}/forbidden.png\n")
    good, missing, forbidden = find_items([], files_from=tmp_path / "list")
    assert good.source.read(LIMIT) == b"sub/c.png"
    with pytest.raises(ImageError, match=r"has more than 4 bytes"):
        good.source.read(4)
    with pytest.raises(ImageError, match=r"none.png does not exist"):
        missing.source.read(LIMIT)
    with pytest.raises(ImageError, match=r"forbidden.png cannot be read: ClientResponseError: 403"):
        forbidden.source.read(LIMIT)


def test_a_web_server_without_lists_is_an_error_with_the_remedy(web: str, tmp_path: Path) -> None:
    (tmp_path / "web" / "index.html").write_text("<html>Nothing to see</html>")
    with pytest.raises(UsageError, match=f"{web}/ lists no images") as error:
        names(f"{web}/")
    assert "--files-from FILE" in str(error.value.hint)


def test_a_shard_of_a_web_server_that_sends_whole_files_only_is_refused(web: str, tmp_path: Path) -> None:
    shard(tmp_path / "web" / "s.tar", [("1.jpg", b"1")])
    with pytest.raises(UsageError, match=f"{web}/s.tar cannot be read: its web server sends whole files only"):
        names(f"{web}/s.tar")
    with pytest.raises(ImageError, match=r"s.tar cannot be read: ValueError: its web server sends whole files only"):
        UrlSource(f"{web}/s.tar", "s.tar/1.jpg", (512, 1)).read(LIMIT)
    (tmp_path / "web" / "list.csv").write_text("path,n\n" + "a.jpg,1\n" * 50_000)
    assert find_items([f"{web}/list.csv"]).count() == 50_000


def test_tables_and_shards_of_a_web_server_that_sends_parts(web: str, tmp_path: Path) -> None:
    folder = tmp_path / "web" / "parts"
    folder.mkdir()
    shard(folder / "s.tar", [(f"{number}.png", png(number)) for number in range(9)])
    pq.write_table(pa.table({"image": [png(10), png(11)]}), folder / "t.parquet")
    items = find_items([f"{web}/parts/s.tar", f"{web}/parts/t.parquet"])
    assert items.count() == 11
    assert [item.source.read(LIMIT) for item in items] == [png(number) for number in (*range(9), 10, 11)]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between attempts, which are not waited for, by a process that has not read from any web server."""
    waited: list[float] = []
    monkeypatch.setattr("camserve.clients.scoring.inputs.unreachable.sleep", waited.append)
    monkeypatch.setattr("camserve.clients.scoring.inputs.remote.WEB_SERVERS", WebServers())
    return waited


def test_a_web_server_that_never_replied_is_an_error_of_its_images(
    pauses: list[float], web: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "web" / "a.png").write_bytes(png(0))
    gone = UrlSource("http://127.0.0.1:9/a.jpg")
    with pytest.raises(ImageError, match=r"the endpoint of http://127.0.0.1:9/a.jpg does not reply: ClientConnector"):
        gone.read(LIMIT)
    assert pauses == [0.5, 1, 2, 4]
    with pytest.raises(ImageError, match=r"127.0.0.1:9, the web server of the image, does not reply"):
        gone.read(LIMIT)
    assert UrlSource(f"{web}/a.png").read(LIMIT) == png(0)
    monkeypatch.setattr("camserve.clients.scoring.inputs.unreachable.monotonic", lambda: 1e12)
    with pytest.raises(ImageError, match=r"the endpoint of http://127.0.0.1:9/a.jpg does not reply"):
        gone.read(LIMIT)
    assert len(pauses) == 4, "it is tried once more only"


def test_a_web_server_that_replied_before_ends_the_run(pauses: list[float]) -> None:
    servers, url = WebServers(), "http://example.org/a.jpg"

    def fail() -> bytes:
        raise ConnectionFailedError("no reply")

    def miss() -> bytes:
        raise ImageError("it does not exist")

    with pytest.raises(ImageError, match="it does not exist"):
        servers.read(url, miss)
    with pytest.raises(ConnectionFailedError, match="no reply"):
        servers.read(url, fail)
    assert servers.read(url, lambda: b"image") == b"image"


def test_an_image_that_its_web_server_does_not_send_to_the_end_is_an_error_of_this_image(
    pauses: list[float], web: str, tmp_path: Path
) -> None:
    for name in ("cut.png", "whole.png"):
        (tmp_path / "web" / name).write_bytes(png(0))
    for _ in range(2):
        with pytest.raises(ImageError, match=r"cut.png cannot be read: its web server does not send all of it"):
            UrlSource(f"{web}/cut.png").read(LIMIT)
        assert UrlSource(f"{web}/whole.png").read(LIMIT) == png(0)
    assert len(pauses) == 8


def test_an_endpoint_of_a_store_that_does_not_reply_is_an_error_for_all(
    pauses: list[float], bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **settings: object) -> bytes:
        raise ConnectionError("refused")

    monkeypatch.setattr(bucket, "cat_file", fail)
    with pytest.raises(ConnectionFailedError, match=r"the endpoint of memory://b/a.jpg does not reply: Connection"):
        UrlSource("memory://b/a.jpg").read(LIMIT)
    assert pauses == [0.5, 1, 2, 4]


def test_missing_credentials_are_an_error_for_all(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoCredentialsError(Exception):
        """As botocore calls it, which is not installed."""

    def fail(*args: object, **settings: object) -> bytes:
        raise NoCredentialsError("Unable to locate credentials")

    monkeypatch.setattr(bucket, "cat_file", fail)
    with pytest.raises(ClientError, match=r"there are no credentials for memory://b/a.jpg: NoCred.*: Unable") as error:
        UrlSource("memory://b/a.jpg").read(LIMIT)
    assert not isinstance(error.value, ImageError)


def test_missing_packages_are_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for url, package in (("s3://b/a.jpg", "s3fs"), ("gs://b/*.jpg", "gcsfs"), ("az://b/", "adlfs")):
        with pytest.raises(UsageError, match=f"requires the package {package}, which is not installed") as error:
            names(url)
        assert error.value.hint == f"Install it: pip install {package}"
    with pytest.raises(UsageError, match=r"nosuch://b/a.jpg cannot be read: Protocol not known: nosuch"):
        names("nosuch://b/a.jpg")
    monkeypatch.setitem(__import__("sys").modules, "fsspec.core", None)
    with pytest.raises(UsageError, match="requires the package fsspec, which is not installed") as error:
        names("memory://b/a.jpg")
    assert error.value.hint == "Install it: pip install 'camserve[remote]'"
