from __future__ import annotations

import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from camserve.clients.scoring.inputs import find_items
from camserve.errors import CamserveError, ImageError, UsageError
from camserve.images.left_out import LeftOut

LIMIT = 1_000_000


def csv(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def parquet(path: Path, columns: dict[str, Any], **settings: Any) -> Path:
    pq.write_table(pa.table(columns), path, **settings)
    return path


def found(path: Path, **columns: Any) -> list[tuple[str, str]]:
    return [(item.path, item.id) for item in find_items([path], **columns)]


def test_rows_of_a_csv_table_name_paths_and_identifiers(tmp_path: Path) -> None:
    table = csv(tmp_path / "t.csv", '\ufefflabel,path,key\ncat,a.jpg,x\n\ndog,"b, c.jpg",\ncat,a.jpg,x\n')
    assert found(table) == [("a.jpg", "1"), ("b, c.jpg", "2"), ("a.jpg", "3")]
    assert found(table, id_column="key") == [("a.jpg", "x"), ("b, c.jpg", "2"), ("a.jpg", "x")]
    assert [path for path, _ in found(table, path_column="key")] == ["x", f"{table}:2", "x"]


def test_a_column_that_was_found_is_reported_once(tmp_path: Path) -> None:
    table = csv(tmp_path / "t.csv", "id,File_Name\n1,a.jpg\n")
    messages: list[str] = []
    items = find_items([table, table], report=messages.append)
    assert items.count() == len(list(items)) == 2
    assert messages == [
        f"The paths of images are read from column 'File_Name' of {table}; --path-column selects another"
    ]
    find_items([table], path_column="File_Name", report=messages.append).count()
    assert len(messages) == 1


@pytest.mark.parametrize(
    ("header", "columns", "message"),
    [
        ("path,url", {}, "it is not clear which column contains the images: 'path', 'url' can"),
        ("a,b", {}, "it is not clear which column contains the images: there are 'a', 'b'"),
        ("a,b", {"path_column": "c"}, "there is no column 'c'; there are 'a', 'b'"),
        ("path,b", {"id_column": "c"}, "there is no column 'c'; there are 'path', 'b'"),
        ("a,a", {"path_column": "a"}, "2 columns are named 'a'"),
        ("path,b", {"bytes_column": "b"}, "a CSV table cannot contain the bytes of files"),
        ("", {}, "there are none"),
    ],
)
def test_columns_that_do_not_fit_are_refused(
    tmp_path: Path, header: str, columns: dict[str, str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        found(csv(tmp_path / "t.csv", f"{header}\n1,2\n"), **columns)


def test_the_only_column_contains_the_images(tmp_path: Path) -> None:
    assert found(csv(tmp_path / "t.csv", "x\na.jpg\n")) == [("a.jpg", "1")]


@pytest.mark.parametrize("first", ["a.jpg", "./a.jpg", "s3://bucket/a", "list"])
def test_a_csv_table_without_a_header_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list").touch()
    table = csv(tmp_path / "t.csv", f"{first}\nb.jpg\n")
    with pytest.raises(UsageError, match=rf"t.csv has no header: its first line is the path '{first}'") as error:
        found(table)
    assert error.value.hint == f"Pass it as a list: --files-from {table}, or add a first line: path"
    assert found(table, path_column=first) == [("b.jpg", "1")]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators_are_refused(tmp_path: Path, separator: str) -> None:
    with pytest.raises(UsageError, match=r"t.csv: there are no commas between the columns of 'path"):
        found(csv(tmp_path / "t.csv", f"path{separator}key\na.jpg{separator}1\n"))


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("path,key\na.jpg,1\n".encode("utf-16"))
    with pytest.raises(UsageError, match=r"t.csv is in UTF-16, not UTF-8"):
        found(tmp_path / "t.csv")


def test_broken_csv_is_refused_by_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"t.csv, line 3: the row has 3 cells, and the header 2"):
        found(csv(tmp_path / "t.csv", "path,b\na.jpg,1\nb,c.jpg,2\n"))
    with pytest.raises(UsageError, match=r"t.csv, line 2: unexpected end of data"):
        found(csv(tmp_path / "t.csv", 'path,b\n"a.jpg,1\n'))


def test_an_empty_cell_is_the_error_of_its_row(tmp_path: Path) -> None:
    (_, item) = find_items([csv(tmp_path / "t.csv", "path,b\na.jpg,1\n,2\n")])
    assert item.path == f"{tmp_path}/t.csv:2"
    with pytest.raises(ImageError, match=r"t.csv:2 contains no path"):
        item.source.read(LIMIT)


def test_paths_relative_to_the_table_are_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.jpg").write_bytes(b"A")
    table = csv(tmp_path / "data" / "t.csv", "path\na.jpg\nhttp://host/b.jpg\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"a.jpg does not exist in the current folder, to which") as error:
        found(table)
    assert error.value.hint == f"Run the command there: cd {tmp_path}/data"
    monkeypatch.chdir(tmp_path / "data")
    assert next(iter(find_items(["t.csv"]))).source.read(LIMIT) == b"A"


def test_tables_without_rows_are_named(tmp_path: Path) -> None:
    tables = [csv(tmp_path / "t.csv", "path\n"), parquet(tmp_path / "t.parquet", {"path": pa.array([], pa.string())})]
    with pytest.raises(UsageError, match=r"no images found; left out: 2 tables without rows"):
        find_items(tables).count()
    left_out = LeftOut()
    assert find_items([*tables, tmp_path / "a.jpg"], left_out=left_out).count() == 1
    assert left_out.counts == {"empty_tables": 2}


@pytest.mark.parametrize(
    "kind",
    [
        pa.binary(),
        pa.large_binary(),
        pa.binary_view(),
        pa.dictionary(pa.int8(), pa.binary()),
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    ],
)
def test_bytes_of_a_parquet_table_are_images(tmp_path: Path, kind: pa.DataType) -> None:
    data: list[Any] = [b"one", None, b"", b"four"]
    is_struct = pa.types.is_struct(kind)
    cells = [{"bytes": each, "path": None} for each in data] if is_struct else data
    table = parquet(tmp_path / "t.parquet", {"image": pa.array(cells, kind), "label": [1, 2, 3, 4]}, row_group_size=3)
    messages: list[str] = []
    items = find_items([table], id_column="label", report=messages.append)
    assert items.count() == 4
    assert messages == [f"The bytes of images are read from column 'image' of {table}; --bytes-column selects another"]
    one, none, empty, four = [pickle.loads(pickle.dumps(item)) for item in items]
    assert (one.path, one.id, four.path, four.id) == (f"{table}:1", "1", f"{table}:4", "4")
    assert (one.source.read(3), four.source.read(LIMIT)) == (b"one", b"four")
    for item, limit, message in (
        (none, LIMIT, r"t.parquet:2 contains no image"),
        (empty, LIMIT, r"t.parquet:3 is empty"),
        (four, 3, r"t.parquet:4 has more than 3 bytes"),
    ):
        with pytest.raises(ImageError, match=message):
            item.source.read(limit)


def test_a_structure_without_bytes_names_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"A")
    cell = {"bytes": None, "path": f"{tmp_path}/a.jpg"}
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    (item,) = find_items([parquet(tmp_path / "t.parquet", {"image": pa.array([cell], kind)})])
    assert (item.path, item.id, item.source.read(LIMIT)) == (f"{tmp_path}/a.jpg", "1", b"A")


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.binary(),
        pa.large_binary(),
        pa.dictionary(pa.int8(), pa.string()),
    ],
)
def test_paths_of_a_parquet_table_may_be_of_any_type_of_text(tmp_path: Path, kind: pa.DataType) -> None:
    paths = pa.array(["a.jpg", None]).cast(kind)
    table = parquet(tmp_path / "t.parquet", {"x": paths, "n": [1, 2]})
    assert found(table, path_column="x") == [("a.jpg", "1"), (f"{table}:2", "2")]


def test_columns_of_other_types_are_refused(tmp_path: Path) -> None:
    table = parquet(tmp_path / "t.parquet", {"path": ["a"], "image": [b"a"], "n": [1]})
    with pytest.raises(UsageError, match="it is not clear which column contains the images: 'path', 'image' can"):
        found(table)
    with pytest.raises(UsageError, match="column 'n' contains int64, not paths"):
        found(table, path_column="n")
    with pytest.raises(UsageError, match="column 'path' does not contain the bytes of files"):
        found(table, bytes_column="path")


def test_damaged_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1 no table")
    with pytest.raises(UsageError, match=r"t.parquet is not a Parquet file"):
        found(path)
    parquet(path, {"image": [bytes(range(256)) * 50] * 50}, compression="snappy", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[20:400] = b"\xff" * 380
    path.write_bytes(content)
    with pytest.raises(CamserveError, match=r"t.parquet cannot be read"):
        found(path)


def test_one_row_group_is_read_in_flat_memory(tmp_path: Path) -> None:
    """Images of 64 MiB in one row group, with pages of 2 MiB: a few megabytes of it are in memory at a time."""
    path = tmp_path / "t.parquet"
    settings = {"compression": "none", "use_dictionary": False, "write_batch_size": 8}
    with pq.ParquetWriter(path, pa.schema([("image", pa.binary())]), **settings) as writer:
        writer.write_table(pa.table({"image": [bytes([n]) * 262_144 for n in range(256)]}), row_group_size=256)
    assert pq.ParquetFile(path).num_row_groups == 1
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        most = 0
        for number, item in enumerate(find_items([path])):
            assert item.source.read(LIMIT)[0] == number
            most = max(most, pa.total_allocated_bytes() - before)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
    assert most < 24_000_000
