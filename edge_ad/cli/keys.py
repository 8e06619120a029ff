"""`edge-ad keys` and `edge-ad sign`: who vouches for a bundle, and whom a machine believes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_ad.cli.options import PATH, store_option

if TYPE_CHECKING:
    from edge_ad.bundle.minisign import PublicKey
    from edge_ad.bundle.secret_key import SecretKey
    from edge_ad.runtime.store.store import Store

_PASSPHRASE_FILE = click.option(
    "--passphrase-file", type=PATH, help="File whose first line is the passphrase.  [default: ask]"
)


@click.group()
def keys() -> None:
    """Make key pairs for signing bundles, and say which of them this machine trusts."""


@keys.command()
@click.argument("name", type=PATH)
@click.option(
    "--no-passphrase", is_flag=True, help="Leave the private key unencrypted, as unattended builds need."
)
@_PASSPHRASE_FILE
def new(name: Path, no_passphrase: bool, passphrase_file: Path | None) -> None:
    """Make the key pair NAME.key (private: keep it) and NAME.pub (public: hand it out).

    Both are files of minisign, which signs and checks with them too.
    """
    from edge_ad.bundle.secret_key import new_key, write_secret_key
    from edge_ad.errors import OutputError
    from edge_ad.files import write_atomic

    private, public = name.with_name(f"{name.name}.key"), name.with_name(f"{name.name}.pub")
    for path in (private, public):
        if path.exists():
            raise OutputError(f"{path} exists: a key is never replaced, choose another name")
    passphrase = (
        None if no_passphrase else _passphrase(passphrase_file, "Passphrase of the new key", twice=True)
    )
    key = new_key()
    write_secret_key(private, key, passphrase)
    write_atomic(public, key.public.text().encode())
    click.echo(f"key {key.key_id}: {private} (private), {public} (public)")


@keys.command()
@click.argument("public_key", type=PATH)
@store_option
def trust(public_key: Path, store: Path | None) -> None:
    """Trust PUBLIC_KEY (a .pub file) on this machine; from then on bundles must be signed."""
    from edge_ad.bundle.minisign import read_public_key
    from edge_ad.runtime.store.store import open_store

    key = read_public_key(public_key)
    opened = open_store(store)
    added = opened.keyring.trust(key)
    click.echo(f"key {key.key_id} is trusted{'' if added else ' already'} in {opened.root}")
    if opened.keyring.policy().require_signature:
        click.echo("bundles without a signature by a trusted key are refused here", err=True)
    _warn(opened)


@keys.command()
@click.argument("key_id")
@store_option
def revoke(key_id: str, store: Path | None) -> None:
    """Let nothing count any more, here, that KEY_ID has signed; bundles already installed included."""
    from edge_ad.runtime.store.store import open_store

    opened = open_store(store)
    opened.keyring.revoke(key_id)
    click.echo(f"key {key_id.upper()} is revoked in {opened.root}")
    _warn(opened)


@keys.command(name="list")
@store_option
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_(store: Path | None, as_json: bool) -> None:
    """Show which keys this machine trusts, and whether it requires a signature."""
    from edge_ad.runtime.store.store import open_store

    opened = open_store(store)
    policy, revoked = opened.keyring.policy(), sorted(opened.keyring.revoked())
    trusted = [key.key_id for key in policy.keys]
    if as_json:
        click.echo(
            json.dumps(
                {"trusted": trusted, "revoked": revoked, "signature_required": policy.require_signature}
            )
        )
        return
    click.echo(
        f"signatures are {'required' if policy.require_signature else 'not required'} in {opened.root}"
    )
    for name in trusted:
        click.echo(f"  {name} trusted")
    for name in revoked:
        click.echo(f"  {name} revoked")


@keys.command()
@click.argument("requirement", type=click.Choice(["automatic", "required", "optional"]))
@store_option
def policy(requirement: str, store: Path | None) -> None:
    """Say whether bundles must be signed; automatic: as soon as a key is trusted."""
    from edge_ad.runtime.store.store import open_store

    opened = open_store(store)
    opened.keyring.set_requirement(requirement)
    click.echo(f"signatures: {requirement}, in {opened.root}")
    _warn(opened)


@click.command()
@click.argument("bundle", type=PATH)
@click.option("--key", "key_file", type=PATH, help="Private key file (edge-ad keys new).")
@click.option("--signature", "signature_file", type=PATH, help="Signature made elsewhere over manifest.json.")
@click.option("--public-key", type=PATH, help="The key to check --signature with.")
@_PASSPHRASE_FILE
@click.option("-o", "--output", type=PATH, help="Where the signed bundle goes.  [default: in place]")
def sign(
    bundle: Path,
    key_file: Path | None,
    signature_file: Path | None,
    public_key: Path | None,
    passphrase_file: Path | None,
    output: Path | None,
) -> None:
    """Sign BUNDLE with --key, or put a signature into it that was made elsewhere.

    For the latter: unzip -p BUNDLE manifest.json > manifest.json; minisign -Sm manifest.json; and then
    --signature manifest.json.minisig --public-key KEY.pub.
    """
    from edge_ad.bundle.bundle import read_bytes, unpack
    from edge_ad.bundle.minisign import read_public_key
    from edge_ad.bundle.signing import sign as sign_bundle
    from edge_ad.errors import BundleError, ConfigurationError
    from edge_ad.files import write_atomic

    if (key_file is None) == (signature_file is None):
        raise ConfigurationError("name either --key or --signature")
    if signature_file is not None and public_key is None:
        raise ConfigurationError("name the key that --signature was made with: --public-key KEY.pub")
    data = read_bytes(bundle)
    try:
        unpack(data)
        if key_file is not None:
            key = open_key(key_file, passphrase_file)
            signed, key_id = sign_bundle(data, key), key.key_id
        else:
            signed, key_id = _attached(data, signature_file or bundle, read_public_key(public_key or bundle))
    except BundleError as error:
        raise type(error)(f"{bundle}: {error}") from error
    target = output or bundle
    write_atomic(target, signed)
    click.echo(f"{target}: signed with key {key_id}")


def _attached(data: bytes, file: Path, key: PublicKey) -> tuple[bytes, str]:
    """The bundle with a signature made elsewhere, which must be good; and the name of its key."""
    from edge_ad.bundle.bundle import read_bytes, unpack
    from edge_ad.bundle.signing import attach
    from edge_ad.bundle.trust import TrustPolicy
    from edge_ad.errors import BundleSignatureError

    try:
        signed = attach(data, read_bytes(file))
        unpack(signed, TrustPolicy((key,), require_signature=True))
    except BundleSignatureError as error:
        raise BundleSignatureError(f"{file}: {error}") from error
    return signed, key.key_id


def _warn(store: Store) -> None:
    """Say which assets could not be started any more under the rules as they are now."""
    from edge_ad.errors import EdgeAdError
    from edge_ad.text import printable

    for asset in store.assets():
        try:
            if asset.active is not None:
                store.active(asset.asset)
        except EdgeAdError as error:
            click.echo(printable(f"{asset.asset} will not start again: {error}"), err=True)


def open_key(file: Path, passphrase_file: Path | None) -> SecretKey:
    """A private key, after asking for its passphrase where it has one."""
    from edge_ad.bundle.secret_key import needs_passphrase, read_secret_key

    passphrase = None
    if needs_passphrase(file):
        passphrase = _passphrase(passphrase_file, f"Passphrase of {file}", twice=False)
    return read_secret_key(file, passphrase)


def _passphrase(file: Path | None, prompt: str, *, twice: bool) -> str:
    from edge_ad.bundle.minisign import read_key_text
    from edge_ad.errors import ConfigurationError

    if file is not None:
        text = read_key_text(file).split("\n", 1)[0].rstrip("\r")
        if not text:
            raise ConfigurationError(f"{file} has no passphrase in its first line")
        return text
    if not sys.stdin.isatty():
        raise ConfigurationError(
            "nobody is here to ask for it: use --passphrase-file (or --no-passphrase for a new key)"
        )
    answer: str = click.prompt(prompt, hide_input=True, confirmation_prompt=twice, err=True)
    return answer
