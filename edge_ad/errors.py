"""Every error edge_ad raises on purpose, each with the exit code its command ends with.

Exit codes: 0 ok, 1 failure, 2 usage, 3 bad or unsupported bundle, 4 parity gate failed,
5 data unusable, 130 interrupted.
"""


class EdgeAdError(Exception):
    """Base of all deliberate errors; the message is written for the person at the terminal."""

    exit_code = 1


class ConfigurationError(EdgeAdError):
    """An option, a configuration file or a combination of them that cannot be acted on."""

    exit_code = 2


class OutputError(EdgeAdError):
    """A result could not be written: no permission, no space, a file where a folder must be."""


class MissingDependencyError(EdgeAdError):
    """A package of an optional extra is not installed; the message says which extra."""


class InterpreterError(EdgeAdError):
    """The TFLite interpreter refused a model or failed while running it."""


class DownloadError(EdgeAdError):
    """A public data set could not be fetched completely and verified."""


class TrainingError(EdgeAdError):
    """Training ended without a usable model, for example with a loss that is not finite."""


class ConversionError(EdgeAdError):
    """A trained model could not be converted to TFLite."""


class ConverterCrashedError(ConversionError):
    """The converter process died (a signal, or an exit without an answer)."""


class ConverterTimeoutError(ConversionError):
    """The converter process did not answer within its time limit and was ended."""


class BundleError(EdgeAdError):
    """A bundle that cannot be read or must not be trusted."""

    exit_code = 3


class BundleTooLargeError(BundleError):
    """The archive or one of its members exceeds a size cap."""


class BundleArchiveError(BundleError):
    """Not a zip archive, truncated, or not in the one form that a bundle's archive has."""


class BundleMemberError(BundleError):
    """A member that a bundle may not have: a bad name or path, a link, a duplicate, one not listed."""


class BundleDigestError(BundleError):
    """A member's size or SHA-256, or the bundle's id, differs from what the manifest states."""


class BundleUnsignedError(BundleError):
    """A signature is required here, and the bundle has none."""


class BundleSignatureError(BundleError):
    """The signature is damaged, or was not made over this manifest."""


class BundleUntrustedKeyError(BundleError):
    """Signed with a key that is not trusted here."""


class BundleRevokedKeyError(BundleError):
    """Signed with a key that was revoked here."""


class BundleVersionError(BundleError):
    """The bundle's schema or minimum runtime is newer than this program understands."""


class BundleManifestError(BundleError):
    """The manifest is not valid: not JSON, a missing or mistyped entry, a value out of range."""


class BundleMismatchError(BundleError):
    """The parts of a bundle contradict each other, for example scaler length and model input."""


class BundleModelStructureError(BundleError):
    """A `.tflite` member that is no well-formed model: offsets, sizes or indices that lead outside of it."""


class BundleOperatorError(BundleError):
    """A model with an operator that bundles may not hold, a custom one among them."""


class BundleModelError(BundleError):
    """The interpreter refuses a model of the bundle, or dies of it."""


class BundleGoldenError(BundleError):
    """A model does not score the golden windows as it did where the bundle was built."""


class BundleDowngradeError(BundleError):
    """An older build than one that this machine has had from the same key."""


class KeyFileError(EdgeAdError):
    """A key file that cannot be read, is none, or does not open with the given passphrase."""

    exit_code = 2


class StoreError(EdgeAdError):
    """The device's store of bundles cannot be used, or cannot do what was asked."""


class StoreDamagedError(StoreError):
    """The state of an asset makes no sense; its bundles may still be whole."""


class StoreBusyError(StoreError):
    """Another process is changing the store."""


class ConnectionFailedError(EdgeAdError):
    """A board cannot be reached by SSH, is not the one that is known, or the connection broke."""


class DeployError(EdgeAdError):
    """A board cannot be made what was asked for; what ran there before runs on."""


class GateFailedError(EdgeAdError):
    """A converted or reduced model does not make the same decisions as its reference."""

    exit_code = 4


class DataError(EdgeAdError):
    """A recording or stream that cannot be used as it is."""

    exit_code = 5


class Terminated(BaseException):
    """SIGTERM arrived. Not an Exception, so that nothing takes it for a failure."""
