"""What is written for Ansible, read by Ansible itself."""

import json
import shutil

import pytest

from edge_ad.errors import BundleError, BundleMismatchError, ConfigurationError
from edge_ad.toolchain.fleet.record import AssetRecord
from edge_ad.toolchain.fleet.store import FleetStore
from edge_ad.toolchain.rollout.ansible import run_ansible
from edge_ad.toolchain.rollout.bundles import choose_bundles
from edge_ad.toolchain.rollout.hosts import Host
from edge_ad.toolchain.rollout.inventory import InventoryHost, inventory_yaml, read_inventory
from edge_ad.toolchain.rollout.plan import read_plan
from edge_ad.toolchain.rollout.playbook import new_plan, write_rollout
from edge_ad.toolchain.rollout.results import read_results, save_results
from edge_ad.toolchain.rollout.run import check_syntax, run_rollout
from edge_ad.toolchain.rollout.stages import plan_stages
from tests.toolchain.rollout.plant import build

NAMES = [f"pi-{number}" for number in range(5)]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory, toy_bundle_path):
    """Five assets, each of a host that nobody listens at."""
    root = tmp_path_factory.mktemp("fleet")
    toy = toy_bundle_path.read_bytes()
    for name in NAMES:
        build(root, toy, f"pump of {name}")
    return root


@pytest.fixture(scope="module")
def inventory(tmp_path_factory):
    path = tmp_path_factory.mktemp("inventory") / "inventory.yml"
    hosts = [
        Host(name, (f"pump of {name}",), "127.0.0.1", 9, "root" if name == "pi-4" else "pi") for name in NAMES
    ]
    path.write_text(inventory_yaml(hosts, ssh_config=path.parent / "ssh config", identity=None))
    (path.parent / "ssh config").write_text("")
    return path


@pytest.fixture(scope="module")
def written(fleet, inventory, tmp_path_factory):
    """A rollout's folder and its plan."""
    folder = tmp_path_factory.mktemp("rollouts") / "first"
    with FleetStore.open(fleet) as store:
        chosen = choose_bundles(store, read_inventory(inventory))
        plan = new_plan(inventory, plan_stages(list(chosen.hosts)), chosen.hosts, 25, store.identity())
    write_rollout(folder, plan, chosen.hosts, forks=5)
    return folder, plan


def test_ansible_reads_the_inventory(inventory):
    assert read_inventory(inventory) == tuple(InventoryHost(name, (f"pump of {name}",)) for name in NAMES)
    listed = run_ansible(["ansible-inventory", "-i", str(inventory), "--list"], capture=True)
    variables = json.loads(listed.stdout)["_meta"]["hostvars"]
    assert variables["pi-0"]["ansible_port"] == 9
    assert variables["pi-4"]["ansible_become"] is False
    assert "ssh config'" in variables["pi-0"]["ansible_ssh_common_args"]
    assert "password" not in inventory.read_text()


def test_other_peoples_inventories_are_read_too(tmp_path):
    path = tmp_path / "hosts.ini"
    path.write_text(
        '[plant]\nb edge_ad_assets=\'["x"]\'\na edge_ad_assets=\'["y", "z"]\'\n[office]\nprinter\n'
    )
    assert read_inventory(path) == (InventoryHost("b", ("x",)), InventoryHost("a", ("y", "z")))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("all: [", "cannot read"),
        ("all: {hosts: {a: {}}}", "no host with edge_ad_assets"),
        ("all: {hosts: {a: {edge_ad_assets: pump}}}", "must be a list"),
        ("all: {hosts: {a: {edge_ad_assets: ['{% x %}']}}}", "cannot be rolled out"),
        ("all: {hosts: {a/b: {edge_ad_assets: [pump]}}}", "must be letters"),
    ],
)
def test_inventories_that_are_of_no_use(tmp_path, text, complaint):
    path = tmp_path / "inventory.yml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=complaint):
        read_inventory(path)


def test_ansible_takes_the_playbook_and_knows_who_gets_what(written):
    folder, plan = written
    check_syntax(folder)
    listed = json.loads(run_ansible(["ansible-inventory", "--list"], capture=True, cwd=folder).stdout)
    assert [listed[f"edge_ad_stage_{n}"]["hosts"] for n in (1, 2)] == [list(s.hosts) for s in plan.stages[:2]]
    assert sorted(listed["edge_ad_stage_3"]["hosts"]) == sorted(plan.stages[2].hosts)
    variables = listed["_meta"]["hostvars"]["pi-2"]
    assert variables["ansible_port"] == 9  # of the inventory
    (bundle,) = variables["edge_ad_bundles"]
    assert bundle["asset"] == "pump of pi-2"
    assert (folder / bundle["file"]).is_file()
    assert read_plan(folder) == plan


@pytest.mark.skipif(shutil.which("ssh") is None, reason="needs Debian's package openssh-client")
def test_a_canary_that_is_not_reached_stops_the_rest(written, fleet):
    folder, plan = written
    assert run_rollout(folder, check=False) is False
    results = read_results(folder, plan)
    assert [(r.stage, r.state) for r in results] == [
        ("canary", "unreachable"),
        ("10 percent", "waiting"),
        *[("all", "waiting")] * 3,
    ]
    assert "refused" in results[0].problem
    with FleetStore.open(fleet) as store:
        for _ in range(2):
            save_results(store, plan, results)
        count = store.connection.execute("SELECT count(*) FROM rollout_hosts").fetchone()[0]
    assert count == 5


@pytest.mark.parametrize("content", ["", "{", '{"rollout": 1}', None])
def test_results_that_are_damaged_or_of_another_rollout(written, tmp_path, content):
    _, plan = written
    host = plan.stages[0].hosts[0]
    (tmp_path / "results").mkdir()
    if content is None:
        outcome = {"rollout": "other", "host": host, "stage": "canary", "time": "", "problem": ""}
        flags = dict.fromkeys(("is_ok", "is_reached", "is_touched", "is_serving"), True)
        content = json.dumps({**outcome, **flags, "wanted": {}, "before": {}, "after": {}})
    (tmp_path / "results" / f"{host}.json").write_text(content)
    first = read_results(tmp_path, plan)[0]
    assert first.state == "damaged"
    assert not first.is_well


def test_what_is_there_is_not_written_over(written):
    folder, plan = written
    with pytest.raises(ConfigurationError, match="there already"):
        write_rollout(folder, plan, {}, forks=5)


def test_an_asset_that_the_fleet_does_not_know(fleet):
    with FleetStore.open(fleet) as store, pytest.raises(ConfigurationError, match="pi-9 .* watches 'fan'"):
        choose_bundles(store, [InventoryHost("pi-9", ("fan",))])


def test_bundles_that_are_not_what_the_index_says(tmp_path, toy_bundle_path):
    toy = toy_bundle_path.read_bytes()
    first, second = (build(tmp_path, toy, name) for name in ("one", "two"))
    with FleetStore.open(tmp_path) as store:
        store.record(AssetRecord("three", "three.csv", "failed", "no rows"))
        chosen = choose_bundles(store, [InventoryHost("pi", ("one", "three"))])
        assert [wanted.asset for wanted in chosen.hosts["pi"]] == ["one"]
        assert chosen.without == ("three",)
        path = tmp_path / first.bundle_path
        path.write_bytes((tmp_path / second.bundle_path).read_bytes())
        with pytest.raises(BundleMismatchError, match="is a bundle of 'two', not of 'one'"):
            choose_bundles(store, [InventoryHost("pi", ("one",))])
        path.write_bytes(path.read_bytes()[:-9])
        with pytest.raises(BundleError, match="one.edgead"):
            choose_bundles(store, [InventoryHost("pi", ("one",))])
        store.record(first)
        build(tmp_path, toy, "one", 2)
        store.record(first)
        with pytest.raises(BundleMismatchError, match="is build 2"):
            choose_bundles(store, [InventoryHost("pi", ("one",))])
