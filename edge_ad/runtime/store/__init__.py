"""The device's store: which bundles a machine has, trusts and runs, through power cuts and bad updates.

STORE/lock                                one process at a time changes the store
STORE/trust/KEYID.pub                     trusted public keys; trust/revoked/ holds those that count no more
STORE/assets/ASSET/state.json             which generation is active; replaced as a whole, never edited
STORE/assets/ASSET/bundles/ID.edgead      the generations, never changed after they were written
STORE/assets/ASSET/overlays/ID.json       limits derived on the device
STORE/assets/ASSET/journal.ndjson         what was done, when, and by whom
"""
