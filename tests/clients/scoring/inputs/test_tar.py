from __future__ import annotations

import gzip
import io
import pickle
import tarfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camserve.clients.scoring.inputs import find_items
from camserve.clients.scoring.items import Item
from camserve.errors import ImageError, UsageError
from camserve.images.left_out import LeftOut

LIMIT = 1_000_000


def png(shade: int = 0) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (3, 2), shade).save(stream, "PNG")
    return stream.getvalue()


def shard(path: Path, members: list[tuple[str, bytes]], **settings: int) -> Path:
    with tarfile.open(path, "w", format=settings.get("format", tarfile.PAX_FORMAT)) as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def search(*paths: Path) -> tuple[list[Item], LeftOut]:
    left_out = LeftOut()
    return list(find_items(paths, left_out=left_out)), left_out


@pytest.mark.parametrize("format_", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_images_of_a_shard_are_recognized_by_name_or_content(tmp_path: Path, format_: int) -> None:
    long = "x" * 300
    path = shard(
        tmp_path / "shard.tar",
        [
            ("train/0001.jpg", b"J"),
            ("train/0001.cls", b"7"),
            ("./train/0002.left.png", png(2)),
            ("../up/0004.jpg", b"U"),
            ("train/0002.json", b"{}"),
            ("0003", png(3)),
            (f"{long}/é.bin", png(4)),
            ("train/._0001.jpg", b"A"),
            ("__MACOSX/0001.jpg", b"B"),
            ("train/raw.nef", b"N"),
        ],
        format=format_,
    )
    items, left_out = search(path)
    names = ["train/0001.jpg", "train/0002.left.png", "../up/0004.jpg", "0003", f"{long}/é.bin"]
    assert [item.path for item in items] == [f"{path}/{name}" for name in names]
    assert [item.id for item in items] == ["train/0001", "train/0002", "../up/0004", "0003", f"{long}/é"]
    sent = [pickle.loads(pickle.dumps(item)) for item in items]
    assert [item.source.read(LIMIT) for item in sent] == [b"J", png(2), b"U", png(3), png(4)]
    assert left_out.counts == {"other_members": 2, "hidden_files": 2, "raw_photos": 1}
    assert left_out.first["other_members"] == [f"{path}/train/0001.cls", f"{path}/train/0002.json"]


def test_shards_are_found_by_braces_and_patterns(tmp_path: Path) -> None:
    for number in range(3):
        shard(tmp_path / f"shard-{number:03d}.tar", [(f"{number}.jpg", b"J")])
    braces = find_items([f"{tmp_path}/shard-{{000..002}}.tar"])
    assert [item.id for item in braces] == [item.id for item in find_items([f"{tmp_path}/*.tar"])] == ["0", "1", "2"]
    with pytest.raises(UsageError, match=r"cannot read .*shard-003.tar: No such file"):
        find_items([f"{tmp_path}/shard-{{000..003}}.tar"]).count()


def test_images_of_one_name_stay_two_images(tmp_path: Path) -> None:
    items, _ = search(shard(tmp_path / "a.tar", [("1.jpg", b"first"), ("1.jpg", b"second")]))
    assert [item.source.read(LIMIT) for item in items] == [b"first", b"second"]
    assert items[0].path == items[1].path


def test_links_and_folders_are_not_scored(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, kind in (("d", tarfile.DIRTYPE), ("1.jpg", tarfile.SYMTYPE), ("2.jpg", tarfile.LNKTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "../../etc/passwd"
            archive.addfile(member)
    (tmp_path / "b.jpg").touch()
    _, left_out = search(tmp_path / "a.tar", tmp_path / "b.jpg")
    assert left_out.counts == {"archive_links": 2, "archives_without_images": 1}
    with pytest.raises(UsageError, match="no images found; left out: 2 links in archives"):
        search(tmp_path / "a.tar")


def test_limits_apply_to_members(tmp_path: Path) -> None:
    items, _ = search(shard(tmp_path / "a.tar", [("1.jpg", b""), ("2.jpg", b"12345")]))
    with pytest.raises(ImageError, match=r"a.tar/1.jpg is empty"):
        items[0].source.read(LIMIT)
    with pytest.raises(ImageError, match=r"a.tar/2.jpg has more than 4 bytes"):
        items[1].source.read(4)
    assert items[1].source.read(5) == b"12345"


@pytest.mark.parametrize("lost", [1, 400, 1024, 1300])
def test_a_truncated_shard_keeps_its_images_and_gets_a_row_with_the_error(tmp_path: Path, lost: int) -> None:
    path = shard(tmp_path / "a.tar", [("1.jpg", b"1" * 700), ("2.jpg", b"2" * 700)])
    content = path.read_bytes()[: 2 * (512 + 1024)]  # without the mark of the end
    path.write_bytes(content[: len(content) - lost])
    items, left_out = search(path)
    *images, damage = items
    assert images[0].source.read(LIMIT) == b"1" * 700
    with pytest.raises(ImageError, match=r"a.tar is (truncated|corrupt).* after member \d"):
        damage.source.read(LIMIT)
    assert damage.path == str(path)
    assert not left_out
    if lost > 324 and len(images) == 2:
        with pytest.raises(ImageError, match=r"a.tar/2.jpg is truncated: \d+ of 700 bytes could be read"):
            images[1].source.read(LIMIT)


@pytest.mark.parametrize(
    ("tail", "message"),
    [
        (b"", "truncated after member 1: it has no mark of its end"),
        (b"x" * 512, "corrupt after member 1: the header of the next one is invalid"),
        (bytes(64 * 1024) + b"x", "contains more after its end, at member 1, as joined archives do"),
    ],
)
def test_what_follows_the_last_member_is_checked(tmp_path: Path, tail: bytes, message: str) -> None:
    path = shard(tmp_path / "a.tar", [("1.jpg", b"1")])
    path.write_bytes(path.read_bytes()[:1024] + tail)
    items, _ = search(path)
    assert len(items) == 2
    with pytest.raises(ImageError, match=message):
        items[1].source.read(LIMIT)


def test_compressed_and_other_files_are_refused_with_the_remedy(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.tar", [("1.jpg", b"1")])
    (tmp_path / "b.tar").write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(UsageError, match=r"b.tar is a compressed archive") as error:
        search(tmp_path / "b.tar")
    assert error.value.hint == f"Decompress it: gunzip < {tmp_path}/b.tar > {tmp_path}/b-decompressed.tar"
    for name, program in (("c d.tar.zst", "unzstd"), ("c d.tgz", "gunzip"), ("c d.TAR.XZ", "unxz")):
        with pytest.raises(UsageError, match=f"{name} is a compressed archive") as error:
            search(tmp_path / name)
        assert f"Decompress it: {program} < '{tmp_path}/{name}' > '{tmp_path}/c d" in str(error.value.hint)
    (tmp_path / "d.tar").write_bytes(b"no archive" * 100)
    with pytest.raises(UsageError, match=r"d.tar is not a tar archive"):
        search(tmp_path / "d.tar")
    (tmp_path / "e.tar").touch()
    with pytest.raises(UsageError, match=r"e.tar is not a tar archive: empty file"):
        search(tmp_path / "e.tar")


def test_a_negative_size_ends_the_archive(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.tar", [("1.jpg", b"1"), ("2.jpg", b"2")], format=tarfile.GNU_FORMAT)
    content = bytearray(path.read_bytes())
    header = tarfile.TarInfo.frombuf(bytes(content[1024:1536]), "utf-8", "strict")
    header.size = -2048
    content[1024:1536] = header.tobuf(tarfile.GNU_FORMAT)
    path.write_bytes(content)
    items, _ = search(path)
    assert [item.path for item in items] == [f"{path}/1.jpg", str(path)]


def test_any_damage_is_reported(tmp_path: Path) -> None:
    """With bytes changed at random, an archive has its images, an error, or both."""
    content = shard(tmp_path / "a.tar", [(f"{n}/{'é' * 60}.jpg", b"J" * 600) for n in range(3)]).read_bytes()
    random = np.random.default_rng(0)
    errors = []
    for _ in range(300):
        damaged = bytearray(content)
        for place in random.integers(0, len(content), 20):
            damaged[place] = random.choice([0, 0x30, 0x37, 0x3D, 0x78, 0x80, 0xFF])
        (tmp_path / "b.tar").write_bytes(damaged)
        try:
            for item in find_items([tmp_path / "b.tar"]):
                item.source.read(LIMIT)
        except (ImageError, UsageError) as error:
            errors.append(error.message)
    assert len(errors) > 100
    assert all(f"{tmp_path}/b.tar" in error for error in errors)


def test_a_long_shard_is_read_in_flat_memory(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.tar", [(f"{number}.jpg", b"J") for number in range(2_000)], format=tarfile.USTAR_FORMAT)
    tracemalloc.start()
    try:
        assert find_items([path]).count() == 2_000
        assert tracemalloc.get_traced_memory()[1] < 300_000
    finally:
        tracemalloc.stop()
