import dataclasses
import json
import os
import pty
import sqlite3
import subprocess
import sys

import pytest

from edge_ad.cli.fleet_index import list_
from edge_ad.errors import ConfigurationError, OutputError, StoreError
from edge_ad.toolchain.fleet.conditions import COLUMNS, SORTS, Condition, parse_condition
from edge_ad.toolchain.fleet.record import AssetRecord
from edge_ad.toolchain.fleet.store import FleetStore, assets_query, bundle_path
from tests.helpers import edge_ad


def built(name, **changes):
    record = AssetRecord(
        asset=name,
        source=f"data/{name}.csv",
        state="built",
        build_number=1,
        made="2026-11-29T23:30:00Z",
        bundle_path=bundle_path(name),
        bundle_id="b" * 64,
        sha256=f"{name:0>64}",
        parity_headroom=0.5,
        f1=0.8,
        ucl=7.25,
    )
    return dataclasses.replace(record, **changes)


@pytest.fixture
def store(tmp_path):
    with FleetStore.open(tmp_path / "fleet", create=True) as opened:
        yield opened


def test_a_row_comes_back_as_it_was(store):
    record = built("pump-1", error="", f1=None, seconds=1.25)
    store.record(record, AssetRecord("pump-2", "s3://plant/pump-2.parquet"))
    assert store.asset("pump-1") == record
    assert store.asset("pump-2").state == "pending"
    assert store.asset("pump-3") is None
    assert store.counts() == {"built": 1, "pending": 1}


@pytest.mark.parametrize("sort", SORTS)
def test_orders_put_what_has_no_figure_last(store, sort):
    column, direction = SORTS[sort]
    records = [
        built("a", parity_headroom=0.2, f1=0.9, made="1", seconds=3.0),
        built("b", parity_headroom=0.9, f1=None, made="3", seconds=1.0),
        built("c", parity_headroom=None, f1=0.1, made="2", seconds=2.0),
        built("d", parity_headroom=-0.1, f1=0.5, made="0", seconds=0.5),
    ]
    store.record(*records)
    present = [r for r in records if getattr(r, column) is not None]
    expected = sorted(present, key=lambda r: getattr(r, column), reverse=direction == "DESC")
    expected += [r for r in records if getattr(r, column) is None]
    assert store.assets(sort=sort) == expected
    assert store.assets(sort=sort, limit=2) == expected[:2]


def test_conditions_all_hold(store):
    store.record(
        built("a", f1=0.5), built("b", f1=0.9), built("c", f1=None), built("d", state="failed", f1=0.4)
    )
    asked = [parse_condition(text) for text in ("state=built", " f1 < 0.9 ")]
    assert [r.asset for r in store.assets(asked)] == ["a"]
    assert [r.asset for r in store.assets([parse_condition("f1>=0.5")])] == ["a", "b"]
    assert [r.asset for r in store.assets([parse_condition("asset~[ab]*")])] == ["a", "b"]
    assert [r.asset for r in store.assets([parse_condition("state!=built")])] == ["d"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("state", "is no condition"),
        ("f1<few", "f1 is a number"),
        ("colour=red", "no column 'colour'"),
        ('f1" OR 1=1 --', "is no condition"),
    ],
)
def test_conditions_that_are_none(text, words):
    with pytest.raises(ConfigurationError, match=words):
        parse_condition(text)


def test_a_value_is_never_sql(store):
    store.record(built("a"))
    assert store.assets([parse_condition("asset=a' OR '1'='1")]) == []


def test_a_row_that_is_replaced_is_history(store):
    store.record(built("a", build_number=1, sha256="1"))
    store.record(built("a", build_number=1, sha256="1", seconds=9.0))  # the same bundle again
    store.record(built("a", build_number=2, sha256="2"))
    store.record(built("a", state="failed", build_number=3, sha256="", error="no windows"))
    assert [(r.build_number, r.sha256) for r in store.history("a")] == [(1, "1"), (2, "2")]
    store.forget(["a"])
    assert store.assets() == []


def test_nothing_is_written_where_one_row_cannot_be(store):
    with pytest.raises(StoreError):
        store.record(built("a"), built("b", source=None))
    assert store.assets() == []


def test_what_two_fleets_have_otherwise(store, tmp_path):
    with FleetStore.open(tmp_path / "other", create=True) as other:
        store.record(built("same"), built("gone"), built("moved", ucl=7.0))
        other.record(
            built("same", made="later", seconds=9.0, source="elsewhere"),
            built("new"),
            built("moved", ucl=8.0),
        )
        changes = store.diff(other)
    assert [(c.asset, c.fields) for c in changes] == [("gone", ()), ("moved", ("ucl",)), ("new", ())]
    assert changes[0].after is None
    assert changes[2].before is None


@pytest.mark.parametrize(
    ("conditions", "sort"),
    [
        (["state=failed"], "asset"),
        (["state=pending"], "worst-parity"),
        (["asset=pump-5"], "worst-parity"),
        ([], "worst-parity"),
        ([], "worst-f1"),
        ([], "newest"),
        ([], "slowest"),
        ([], "asset"),
    ],
)
def test_no_question_reads_or_sorts_the_whole_table(store, conditions, sort):
    text, values = assets_query([parse_condition(c) for c in conditions], sort=sort, limit=20)
    plan = [row[3] for row in store.connection.execute(f"EXPLAIN QUERY PLAN {text}", values)]
    # a scan is no fault where it follows the order asked for, since it ends at the limit
    assert all(
        "SEARCH" in step or "INDEX" in step or step.startswith("USE TEMP B-TREE") for step in plan
    ) or (sort == "asset" and not conditions), plan
    if not conditions:
        assert not any("TEMP B-TREE" in step for step in plan), plan


def test_ten_thousand_assets_are_listed_and_compared(store, tmp_path):
    records = [built(f"pump-{i}", f1=i / 10_000, parity_headroom=-i / 10_000) for i in range(10_000)]
    store.record(*records)
    assert [r.asset for r in store.assets(sort="worst-parity", limit=2)] == ["pump-9999", "pump-9998"]
    assert len(store.assets([Condition("f1", "<", 0.25)])) == 2500
    with FleetStore.open(tmp_path / "other", create=True) as other:
        other.record(*records[1:], built("pump-0", ucl=1.0))
        assert [c.asset for c in store.diff(other)] == ["pump-0"]


def test_what_is_no_fleet(tmp_path):
    with pytest.raises(ConfigurationError, match="holds no fleet"):
        FleetStore.open(tmp_path)
    sqlite3.connect(tmp_path / "fleet.sqlite3").execute("CREATE TABLE t (x)").connection.close()
    with pytest.raises(ConfigurationError, match="another program"):
        FleetStore.open(tmp_path)
    (tmp_path / "fleet.sqlite3").write_bytes(b"SQLite format 2\0" * 400)
    with pytest.raises(StoreError, match="damaged"):
        FleetStore.open(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        FleetStore.open(tmp_path / "file", create=True)


def test_an_index_of_a_newer_version_is_left_alone(store):
    store.connection.execute("PRAGMA user_version = 99")
    with pytest.raises(ConfigurationError, match="newer edge-ad"):
        FleetStore.open(store.root)


def test_rows_survive_a_writer_that_is_killed(tmp_path):
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom edge_ad.toolchain.fleet.store import FleetStore\n"
        "from edge_ad.toolchain.fleet.record import AssetRecord\n"
        "store = FleetStore.open(Path(sys.argv[1]), create=True)\nstore.record(AssetRecord('a', 'x'))\n"
        "with store.transaction() as db:\n    db.execute('DELETE FROM assets')\n    os.kill(os.getpid(), 9)\n"
    )
    result = subprocess.run([sys.executable, "-c", code, tmp_path], check=False)
    assert result.returncode == -9
    with FleetStore.open(tmp_path) as store:
        assert [r.asset for r in store.assets()] == ["a"]


def test_every_column_can_be_asked_for(store):
    for name, declared in COLUMNS.items():
        value = "1" if declared.startswith(("int", "float")) else "x"
        assert store.assets([parse_condition(f"{name}={value}")]) == []


def test_the_command_offers_the_orders_there_are():
    [option] = [parameter for parameter in list_.params if parameter.name == "sort"]
    assert tuple(option.type.choices) == tuple(SORTS)


REASON = "tiny-int8 against tiny-float32: agreement 0.91 under the streaming rule is 0.08 below the least"
GATE = f"the parity gate failed, so nothing is packed:\n{REASON}\n  agreement is lowest on: b (0.910)\nLook"


def test_a_reason_is_told_whole(store):
    store.record(
        built("a"), built("b", state="gate-failed", error=GATE), built("c", state="failed", error="no\nrows")
    )
    assert [record.reason for record in store.assets()] == ["", REASON, "no"]
    lines = edge_ad("fleet", "list", store.root).stdout.splitlines()
    assert lines[2].endswith("0.50")
    assert lines[3].endswith(f"  {REASON}")
    assert json.loads(edge_ad("fleet", "list", store.root, "--json").stdout.splitlines()[1])["error"] == GATE


def test_on_a_terminal_a_reason_is_wrapped(store):
    store.record(built("b", state="gate-failed", error=GATE))
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "130"}
    done = edge_ad("fleet", "list", store.root, stdout=theirs, stderr=subprocess.PIPE, env=environment)
    os.close(theirs)
    shown = os.read(ours, 1 << 16).decode().splitlines()
    os.close(ours)
    assert done.returncode == 0
    assert max(map(len, shown)) <= 130
    edge = shown[0].index("why")
    assert shown[2][:edge].split()[:2] == ["b", "gate-failed"]
    assert len(shown) > 3
    assert [line[:edge].strip() for line in shown[3:]] == [""] * (len(shown) - 3)
    assert " ".join(line[edge:] for line in shown[2:]) == REASON


def test_an_empty_file_is_no_index(tmp_path):
    (tmp_path / "fleet.sqlite3").touch()
    with pytest.raises(StoreError, match="it is empty"):
        FleetStore.open(tmp_path)
