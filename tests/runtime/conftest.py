"""A store, and builds of the toy bundle to put into it."""

import pytest

from edge_ad.bundle.signing import sign
from edge_ad.runtime.store.store import Store
from tests.forge import edited


@pytest.fixture(scope="module")
def data(toy_bundle_path):
    return toy_bundle_path.read_bytes()


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def build(tmp_path, data):
    """Writes build `number` of the toy bundle, signed where a key is given."""

    def make(number, key=None, **entries):
        content = edited(data, lambda manifest: manifest.update(build_number=number, **entries))
        path = tmp_path / f"build-{number}.edgead"
        path.write_bytes(sign(content, key) if key else content)
        return path

    return make
