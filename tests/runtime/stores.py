"""What several tests of the store do."""

from edge_ad.bundle.bundle import unpack


def bundle_id(path):
    """The id of a bundle file."""
    return unpack(path.read_bytes()).manifest.bundle_id


def run_build(store, path):
    """Install, activate and prove a build."""
    found = store.install(path)
    store.activate(found.asset, bundle_id(path))
    store.confirm(found.asset, bundle_id(path))
    return bundle_id(path)
